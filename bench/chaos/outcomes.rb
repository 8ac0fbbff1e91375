# frozen_string_literal: true

# What became of the requests, and which of those that failed were lost with a worker that was killed.

module Chaos
  class Outcomes
    # A worker that was killed: from when to when, and the clients' ports of the connections that it had.
    Kill = Struct.new(:pid, :stopped_at, :gone_at, :ports)

    # Seconds after the death of a worker in which its clients hear of it, on a busy machine. No port comes again so soon.
    HEARD = 2.0

    attr_reader :kills

    def initialize
      @mutex = Mutex.new
      @changed = ConditionVariable.new
      @total = Hash.new(0)
      @failures = []
      @kills = []
    end

    def add(outcome)
      @mutex.synchronize do
        @total[outcome.client] += 1
        @failures << outcome if outcome.failure
        @changed.broadcast
      end
    end

    def kill(...) = @mutex.synchronize { @kills << Kill.new(...) }

    def total = @mutex.synchronize { @total.values.sum }

    def by_client = @mutex.synchronize { @total.dup }

    def failures = @mutex.synchronize { @failures.dup }

    # The failures of requests that a killed worker had.
    def in_killed = failures.select { |outcome| in_killed?(outcome) }

    # The failures that nothing excuses.
    def others = failures.reject { |outcome| in_killed?(outcome) }

    # Waits for so many requests more; false when the time is over first.
    def wait_for_more(count, within:)
      limit = Rig.now + within
      @mutex.synchronize do
        aim = @total.values.sum + count
        @changed.wait(@mutex, limit - Rig.now) while @total.values.sum < aim && Rig.now < limit
        @total.values.sum >= aim
      end
    end

    private

    def in_killed?(outcome)
      @kills.any? do |kill|
        kill.ports.include?(outcome.port) && outcome.ended_at >= kill.stopped_at && outcome.began_at <= kill.gone_at + HEARD
      end
    end
  end
end
