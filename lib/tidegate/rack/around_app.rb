# frozen_string_literal: true

# What some settings do around the app: what it is told of the connection, which methods reach it, and in what it runs. An app that
# none of them concerns is called as it is.

module Tidegate
  module AroundApp
    module_function

    # +app+ as the settings of +configuration+ want it to be called.
    def wrap(app, configuration)
      app = in_a_fiber(app) if configuration.fiber_per_request
      app = with_scheme(app, configuration.rack_url_scheme) if configuration.rack_url_scheme
      app = limited(app, configuration.supported_http_methods) if configuration.supported_http_methods.any?
      configuration.enable_keep_alives ? app : closing(app)
    end

    # Called in a Fiber of its own, so that what it keeps in Thread.current[] ends with the call. A response body is read outside of it.
    def in_a_fiber(app) = ->(env) { Fiber.new { app.call(env) }.resume }

    # Called with +scheme+ in its env.
    def with_scheme(app, scheme)
      lambda do |env|
        env["rack.url_scheme"] = scheme
        app.call(env)
      end
    end

    # Called for +methods+ alone.
    def limited(app, methods)
      allowed = methods.to_h { |name| [name, true] }
      lambda do |env|
        name = env["REQUEST_METHOD"]
        allowed.key?(name) ? app.call(env) : [501, { "content-type" => "text/plain" }, ["#{name} is not supported\n"]]
      end
    end

    # Has the connection closed after each response of HTTP/1.
    def closing(app)
      lambda do |env|
        status, headers, body = response = app.call(env)
        next response if headers.nil? || status.to_i == 101 || env["SERVER_PROTOCOL"] == "HTTP/2"

        [status, headers.to_h.merge("connection" => "close"), body]
      end
    end

    private_class_method :in_a_fiber, :with_scheme, :limited, :closing
  end
end
