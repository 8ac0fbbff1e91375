# frozen_string_literal: true

require "digest"
require_relative "connection"

# One client: asks at its own steady pace, checks every answer, reports every outcome, never repeats a request.
# Knows nothing of servers, rolls or processes.
module Rollout
  class Client
    # What the clients of one kind do. `share` is their part of the rate, `count` how many there are.
    Kind = Struct.new(:name, :verb, :path, :keep_alive, :share, :count, keyword_init: true)

    KINDS = [
      Kind.new(name: "keep-alive GET", verb: "GET", path: "/", keep_alive: true, share: 0.25, count: 12),
      Kind.new(name: "keep-alive POST", verb: "POST", path: "/echo", keep_alive: true, share: 0.24, count: 12),
      Kind.new(name: "new-connection GET", verb: "GET", path: "/", keep_alive: false, share: 0.25, count: 12),
      Kind.new(name: "new-connection POST", verb: "POST", path: "/echo", keep_alive: false, share: 0.24, count: 12),
      Kind.new(name: "slow GET (300 ms)", verb: "GET", path: "/slow", keep_alive: false, share: 0.02, count: 4)
    ].freeze

    TIMEOUT = 5.0

    # The outcome of one request: nil for a good answer, else the kind of failure.
    Outcome = Struct.new(:client, :failure, :began_at, :ended_at)

    def initialize(kind, number:, host:, port:, rate:, &report)
      @kind, @host, @port, @report = kind, host, port, report
      @interval = kind.count / (rate * kind.share)
      @offset = @interval * number / kind.count
      @number = number
      @sent = 0
    end

    # Asks until the block says to stop.
    def run
      due = now + @offset
      until yield
        pause = due - now
        sleep(pause) if pause.positive?
        ask
        due += @interval * [1, ((now - due) / @interval).ceil].max # what was missed is not caught up
      end
    ensure
      @connection&.close
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    def ask
      began_at = now
      failure = attempt
      drop if failure || !@kind.keep_alive
      @report.call(Outcome.new(@kind.name, failure, began_at, now))
    end

    def attempt
      body = payload
      connect
      response = @connection.request(@kind.verb, @kind.path, body, within: TIMEOUT)
      return response.status.to_s unless response.status == 200
      return "wrong body" unless response.body == expected(body)

      drop if response.last?
    rescue Failed => error
      error.kind
    end

    def connect
      drop if @connection&.stale?
      @connection ||= Connection.open(@host, @port, within: TIMEOUT)
    end

    def drop
      @connection&.close
      @connection = nil
    end

    # A body that no other request has, from a few bytes to 16 KiB.
    def payload
      return unless @kind.verb == "POST"

      @sent += 1
      seed = "#{@kind.name} #{@number} #{@sent} "
      (seed * 512)[0, 32 + (@sent * 2053 + @number * 509) % 16_000].b
    end

    def expected(body)
      case @kind.path
      when "/echo" then Digest::SHA256.hexdigest(body)
      when "/slow" then "slow\n"
      else "hello\n"
      end
    end
  end
end
