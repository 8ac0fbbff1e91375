# frozen_string_literal: true

# What Puma's control server is asked for, as options of the admin listener: `activate_control_app` in a file, `--control-url` and
# `--control-token` on the command line. The methods yield a clause for what the admin listener cannot be told. Over a Unix socket no
# token is needed: its mode says which users may open it, and they may do everything.

module Tidegate
  class PumaControl
    # Sets options in +layer+; +origin+ says where they were given.
    def initialize(layer, origin)
      @layer = layer
      @origin = origin
    end

    # As Puma's `activate_control_app`.
    def activate(address = "auto", auth_token: nil, no_token: false, data_only: false, umask: nil, **others, &ignore)
      url(address, umask:, &ignore) or return
      token(auth_token, &ignore) if auth_token && !no_token && @layer[:admin].value.tcp?
      yield "data_only changes nothing: over TCP a change takes the token, and over a Unix socket a user who may open it" if data_only
      yield "it has no option #{others.keys.join(" or ")}" if others.any?
    end

    # The address; "auto" is a Unix socket in the directory for temporary files. Returns whether it was set.
    def url(address, umask: nil, &)
      text = address == "auto" ? TemporarySocket.address : address.to_s
      return reject("it does nothing here: the admin listener speaks no TLS", &) if text.start_with?("ssl://")

      text += "#{text.include?("?") ? "&" : "?"}umask=#{format("%04o", umask)}" if umask && text.start_with?("unix://")
      set(:admin, text)
      true
    end

    # The token, or "none".
    def token(text)
      return if text.to_s == "none"
      return set(:admin_token, text) unless reason(:admin_token, text)

      yield "the token is left out, so that nothing can be changed over TCP: #{reason(:admin_token, text)}"
    end

    private

    def reject(reason)
      yield reason
      false
    end

    def set(name, value) = @layer.set(Configuration::OPTIONS[name], value, @origin)

    # Why the option cannot have the value; nil if it can.
    def reason(name, value)
      Configuration::OPTIONS[name].type.read(value) { |reason| return reason }
      nil
    end
  end
end
