# frozen_string_literal: true

require_relative "../connection"

# One client: asks at its own steady pace, checks every answer, reports every outcome, never repeats a request.
# Knows nothing of servers, rolls or processes. What it asks is the business of its subclasses beside it.
module Rollout
  class Client
    # The outcome of one request: nil for a good answer, else the kind of failure. A WebSocket's is that of one echo,
    # an event stream's that of one event. `port` is the client's own of the connection, nil when it had none.
    Outcome = Struct.new(:client, :failure, :began_at, :ended_at, :port)

    # `interval` is the seconds between two requests, `number` tells the clients of one kind apart. The options are
    # those of the kind.
    def initialize(name, number:, host:, port:, interval:, offset: 0, path: "/", keep_alive: false, within: 5.0, &report)
      @name, @number, @host, @port, @report = name, number, host, port, report
      @interval, @offset = interval, offset
      @path, @keep_alive, @within = path, keep_alive, within
    end

    # Asks until the queue `stop` is closed.
    def run(stop)
      @stop = stop
      due = now + @offset
      loop do
        rest(due)
        return if stop.closed?

        ask
        due += @interval * [1, ((now - due) / @interval).ceil].max # what was missed is not caught up
      end
    ensure
      drop
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    # Nothing to do until `due`.
    def rest(due) = @stop.pop(timeout: [due - now, 0].max)

    def ask
      began_at = now
      failure = attempt
      drop if failure || !@keep_alive
      report(failure, began_at)
    end

    def report(failure, began_at, ended_at = now) = @report.call(Outcome.new(@name, failure, began_at, ended_at, @port_here))

    # One request; the kind of failure, or nil.
    def attempt
      connect
      response = exchange
      return response.status.to_s unless response.status == 200
      return "wrong body" unless good?(response.body)

      drop if response.last?
    rescue Failed => error
      error.kind
    end

    # A connection that the server was seen to close while it was idle is not written to.
    def connect
      drop if @connection&.stale?
      @connection ||= remembered
    end

    # A new connection; its port goes into the outcomes.
    def remembered
      @port_here = nil
      open.tap { |connection| @port_here = connection.local_port }
    end

    def open = Connection.open(@host, @port, within: @within)

    def drop
      @connection&.close
      @connection = nil
    end
  end
end
