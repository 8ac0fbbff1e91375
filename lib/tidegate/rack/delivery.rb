# frozen_string_literal: true

# The end of each request. The native side sends what the app has returned. This file closes the body, runs the callbacks, and
# answers for an app that fails and then reports it. It does so in Ruby's own `ensure`, which also runs when the thread is killed.
#
# An +exchange+ is a Native::Exchange.

module Tidegate
  class Delivery
    # +handler+ answers instead of an app that has raised; with +development+ the client is shown the exception. +interrupter+ is an
    # Interrupter, where the app's time is limited.
    def initialize(log, handler: nil, development: false, interrupter: nil)
      @log = log
      @interrupter = interrupter
      @handler = handler
      @development = development
    end

    def development? = @development

    # Calls an app whose time is limited.
    def call_app(app, env, exchange) = @interrupter.call(app, env, exchange)

    # Has the exchange send the response, closes the body unless its to_ary has done so, and runs the callbacks.
    def run(exchange, status, headers, body)
      exchange.deliver(status, headers, body)
      done = true
    rescue Exception => error # rubocop:disable Lint/RescueException -- an app may raise anything
      failed(exchange, error)
      done = true
    ensure
      give_up(exchange) unless done
      conclude(exchange, status, headers, body, error)
    end

    # Writes what +body+ yields to +stream+, a Native::ResponseStream. The app may keep the block and call it when it likes: the
    # stream knows when the response has ended.
    def each(body, stream) = body.each { |chunk| stream.write(chunk) }

    # The app has raised instead of returning a response.
    def app_raised(exchange, error)
      failed(exchange, error)
    ensure
      finish(exchange.env, nil, nil, error)
    end

    # Answers the client, if it can still be answered, with what the handler returns or with a plain 500, and then reports the
    # exception: in this order, so that no client waits for a slow log. A ClientError that the app has not rescued is refused
    # instead.
    def failed(exchange, error)
      exchange.refuse_client(error) if error.is_a?(ClientError)
      stage = stage_of(exchange)
      begin
        answer(exchange, error) if @handler && stage == :app
      rescue Exception => failure # rubocop:disable Lint/RescueException -- as above
        nil
      end
    ensure
      give_up(exchange, error)
      report_of(exchange.env, error, stage)
      report_of(exchange.env, failure, :handler) if failure
    end

    # Reports an exception that came when the client had been answered, or the app had hijacked the connection and returned.
    def late(exchange, error) = report_of(exchange.env, error, stage_of(exchange))

    # The thread of a request was ended inside the app: its callbacks run on another thread.
    def ended(exchange)
      give_up(exchange)
      finish(exchange.env, nil, nil, nil)
    end

    # Reports an exception; +stage+ says where it was raised.
    def report(error, method, path, id = nil, stage = :app)
      place, suffix = SENTENCES.fetch(stage)
      method, path = [method, path].map { |text| Printable.unicode(text.to_s) }
      fields = { event: "app_error", method:, path:, request_id: id }.compact
      @log.report(error, **fields) { |summary| "#{method} #{path}#{place} raised #{summary}#{suffix}" }
    end

    # Runs the callbacks of a request that is over: those of rack.response_finished in reverse order (Rack SPEC), each
    # with what is known of the response; then those of rack.after_reply, as Puma has them. If one raises, that is logged
    # and the others run.
    def finish(env, status, headers, error)
      callbacks(env, "rack.response_finished").reverse_each do |callback|
        attempt(env, :response_finished) { callback.call(env, status, headers, error) }
      end
      callbacks(env, "rack.after_reply").each { |callback| attempt(env, :after_reply) { callback.call } }
    end

    private

    # What the log line has before and after the exception, by stage.
    SENTENCES = {
      app: ["", ""],
      late: ["", ", after the response had begun"],
      timed_out: ["", ", after request_timeout had answered the client"],
      hijacked: ["", ", after it had hijacked the connection"],
      handler: [": lowlevel_error_handler", ""],
      response_finished: [": rack.response_finished", ""],
      after_reply: [": rack.after_reply", ""]
    }.freeze
    private_constant :SENTENCES

    def stage_of(exchange)
      return :app if exchange.open?
      return :timed_out if exchange.timed_out?

      exchange.io ? :hijacked : :late
    end

    # Sends the response that the handler returns. As in Puma it is called with as many of the error, the env and the status as it
    # takes.
    def answer(exchange, error)
      arity = (@handler.respond_to?(:arity) ? @handler : @handler.method(:call)).arity
      arguments = [error, exchange.env, 500]
      status, headers, body = @handler.call(*(arity.negative? ? arguments : arguments.first(arity)))
      exchange.deliver(status, headers, body)
    ensure
      close(exchange, body)
    end

    # Leaves no client waiting: a client that has got nothing gets a 500, and a hijacked connection is closed.
    def give_up(exchange, error = nil)
      exchange.refuse(@development && error && exchange.open? ? ErrorReport.new(error).to_s : nil)
      exchange.io&.then { |io| Hijacked.end(io) }
    end

    # Closes the body and runs the callbacks, also when closing fails or is interrupted.
    def conclude(exchange, status, headers, body, error)
      close(exchange, body)
    rescue Exception => failure # rubocop:disable Lint/RescueException -- as above
      error ||= failure
      late(exchange, failure)
    ensure
      finish(exchange.env, status, headers, error || exchange.error)
    end

    def close(exchange, body)
      body.close if !exchange.closed? && body.respond_to?(:close)
    end

    # Takes all callbacks out of the list, so that each is called at most once, whatever they do to the list, and also if the
    # thread is killed in the middle.
    def callbacks(env, key)
      list = env[key] or return []

      list.slice!(0..)
    end

    def attempt(env, name)
      yield
    rescue StandardError, ScriptError => error
      report_of(env, error, name)
    end

    # A ClientError is no error of the app, and clients must not be able to fill its log. A RequestTimeout is logged where it is raised.
    def report_of(env, error, stage)
      return if error.is_a?(ClientError) || error.is_a?(RequestTimeout)

      report(error, env["REQUEST_METHOD"], env["REQUEST_PATH"] || env["PATH_INFO"], env["HTTP_X_REQUEST_ID"], stage)
    end
  end
end
