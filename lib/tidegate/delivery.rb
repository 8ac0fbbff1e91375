# frozen_string_literal: true

# The end of a request. The native side sends what the app has returned; that the body is closed and that callbacks
# run, whatever happens on the way, is left to Ruby's own `ensure`, which also holds when the thread is killed.

module Tidegate
  module Delivery
    module_function

    # Has +exchange+, a Native::Exchange, send the response, closes the body once, unless its to_ary has done so, and
    # runs the callbacks.
    def run(exchange, env, status, headers, body)
      exchange.deliver(status, headers, body)
    rescue Exception => error # rubocop:disable Lint/RescueException -- it is passed on
      raise
    ensure
      conclude(exchange, env, status, headers, body, error)
    end

    # Closes the body and runs the callbacks, also when closing it fails or is interrupted.
    def conclude(exchange, env, status, headers, body, error)
      close(exchange, body)
    rescue Exception => failure # rubocop:disable Lint/RescueException -- it is passed on
      error ||= failure
      raise
    ensure
      finish(env, status, headers, error || exchange.error)
    end

    # Writes what +body+ yields to +stream+, a Native::Stream. The block may be kept by the app and called whenever it
    # likes: the stream knows when the response is over.
    def each(body, stream) = body.each { |chunk| stream.write(chunk) }

    # Has +handler+ answer in the place of the app, which has raised +error+. As in Puma it is called with as many of the
    # error, the env and the status as it takes, and returns a response.
    def answer(handler, exchange, env, error)
      arity = (handler.respond_to?(:arity) ? handler : handler.method(:call)).arity
      arguments = [error, env, 500]
      status, headers, body = handler.call(*(arity.negative? ? arguments : arguments.first(arity)))
      exchange.deliver(status, headers, body)
    ensure
      close(exchange, body)
    end

    # Runs the callbacks of a request that is over: those of rack.response_finished in reverse order (Rack SPEC), each
    # with what is known of the response; then those of rack.after_reply, as Puma has them. What one raises is logged
    # and keeps none of the others from running.
    def finish(env, status, headers, error)
      callbacks(env, "rack.response_finished").reverse_each do |callback|
        attempt(env, "rack.response_finished") { callback.call(env, status, headers, error) }
      end
      callbacks(env, "rack.after_reply").each { |callback| attempt(env, "rack.after_reply") { callback.call } }
    end

    def close(exchange, body)
      body.close if !exchange.closed? && body.respond_to?(:close)
    end

    # A copy, so that each is called once whatever the callbacks do to the list. It is emptied first: a thread that is
    # killed in the middle has had those that began.
    def callbacks(env, key)
      list = env[key] or return []

      list.slice!(0..)
    end

    def attempt(env, name)
      yield
    rescue StandardError, ScriptError => error
      $stderr.write("tidegate: #{env["REQUEST_METHOD"]} #{env["PATH_INFO"]}: #{name} raised #{error.full_message(highlight: false)}")
    end

    private_class_method :conclude, :close, :callbacks, :attempt
  end
end
