# frozen_string_literal: true

# The secret that changes the server over the admin address: given as it is, or in a file such as a mounted Secret.

module Tidegate
  module AdminToken
    # The most bytes that a token's file may have.
    MOST = 4096

    module_function

    # The token of a Configuration, or nil. Raises a ConfigurationError that does not show it.
    def of(configuration)
      path = configuration.admin_token_file or return configuration.admin_token
      origin = configuration.origin(:admin_token_file)
      raise ConfigurationError, "#{origin}: admin_token and admin_token_file are both set" if configuration.admin_token

      Configuration::Types::SECRET.read(content(path, origin)) do |reason|
        raise ConfigurationError, "#{origin}: what is in #{path} cannot be the admin_token: #{reason}"
      end
    end

    def content(path, origin)
      # A pipe would hold up the boot.
      raise ConfigurationError, "#{origin}: the admin_token_file #{path} is not a file" unless File.file?(path)

      File.binread(path, MOST + 1).to_s.strip
    rescue SystemCallError => error
      raise ConfigurationError, "#{origin}: the admin_token_file #{path} cannot be read: #{Fault.reason(error)}"
    end

    private_class_method :content
  end
end
