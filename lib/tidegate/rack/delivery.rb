# frozen_string_literal: true

# The end of each request of a server. The native side sends what the app has returned; that the body is closed, that callbacks
# run, and that a failure of the app is answered and then reported, whatever happens on the way, is left to Ruby's own
# `ensure`, which also holds when the thread is killed.
#
# An +exchange+ is a Native::Exchange.

module Tidegate
  class Delivery
    # +handler+ answers in the place of an app that has raised; with +development+ its client is shown what was raised.
    def initialize(log, handler: nil, development: false)
      @log = log
      @handler = handler
      @development = development
    end

    def development? = @development

    # Has the exchange send the response, closes the body once, unless its to_ary has done so, and runs the callbacks.
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

    # Answers the client, as the app's own handler wants it or with a plain 500, if it can still be answered, and then reports
    # what the app has raised: a log that is slow keeps no client waiting. A fault of the client's that the app lets through
    # is refused instead.
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

    # Reports what was raised when the client had been answered, or the app had taken the connection and returned.
    def late(exchange, error) = report_of(exchange.env, error, stage_of(exchange))

    # The thread of a request was ended inside the app: those who wait for the request's end are told, on another thread.
    def ended(exchange)
      give_up(exchange)
      finish(exchange.env, nil, nil, nil)
    end

    # Reports an exception; +stage+ says where it came up.
    def report(error, method, path, id = nil, stage = :app)
      who, suffix = SENTENCES.fetch(stage)
      method, path = [method, path].map { |text| Printable.unicode(text.to_s) }
      fields = { event: "app_error", method:, path:, request_id: id }.compact
      @log.report(error, **fields) { |summary| "#{method} #{path}#{who} raised #{summary}#{suffix}" }
    end

    # Runs the callbacks of a request that is over: those of rack.response_finished in reverse order (Rack SPEC), each
    # with what is known of the response; then those of rack.after_reply, as Puma has them. What one raises is logged
    # and keeps none of the others from running.
    def finish(env, status, headers, error)
      callbacks(env, "rack.response_finished").reverse_each do |callback|
        attempt(env, :response_finished) { callback.call(env, status, headers, error) }
      end
      callbacks(env, "rack.after_reply").each { |callback| attempt(env, :after_reply) { callback.call } }
    end

    private

    # What is said of the request that failed, before and after what was raised, by where that was.
    SENTENCES = {
      app: ["", ""],
      late: ["", ", after the response had begun"],
      hijacked: ["", ", after it had hijacked the connection"],
      handler: [": lowlevel_error_handler", ""],
      response_finished: [": rack.response_finished", ""],
      after_reply: [": rack.after_reply", ""]
    }.freeze
    private_constant :SENTENCES

    def stage_of(exchange)
      return :app if exchange.open?

      exchange.io ? :hijacked : :late
    end

    # Has the handler answer. As in Puma it is called with as many of the error, the env and the status as it takes, and
    # returns a response.
    def answer(exchange, error)
      arity = (@handler.respond_to?(:arity) ? @handler : @handler.method(:call)).arity
      arguments = [error, exchange.env, 500]
      status, headers, body = @handler.call(*(arity.negative? ? arguments : arguments.first(arity)))
      exchange.deliver(status, headers, body)
    ensure
      close(exchange, body)
    end

    # Leaves no client waiting: one that was told nothing is told 500, and a connection that the app has taken is closed.
    def give_up(exchange, error = nil)
      exchange.refuse(@development && error && exchange.open? ? ErrorReport.new(error).to_s : nil)
      exchange.io&.then { |io| Hijacked.end(io) }
    end

    # Closes the body and runs the callbacks, also when closing it fails or is interrupted.
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

    # A copy, so that each is called once whatever the callbacks do to the list. It is emptied first: a thread that is
    # killed in the middle has had those that began.
    def callbacks(env, key)
      list = env[key] or return []

      list.slice!(0..)
    end

    def attempt(env, name)
      yield
    rescue StandardError, ScriptError => error
      report_of(env, error, name)
    end

    # What a client does wrong is no error of the app's, and must not fill its log.
    def report_of(env, error, stage)
      return if error.is_a?(ClientError)

      report(error, env["REQUEST_METHOD"], env["REQUEST_PATH"] || env["PATH_INFO"], env["HTTP_X_REQUEST_ID"], stage)
    end
  end
end
