# frozen_string_literal: true

require_relative "../support/child"

# Holds failures back for a moment before they are tallied: the tally learns that no pod serves any more a little after it began.
module Rollout
  class Held
    SECONDS = 1.5

    def initialize(tally, seconds: SECONDS)
      @tally, @seconds = tally, seconds
      @failures = Queue.new
      @stopping = Queue.new
      @thread = Thread.new { pass_on while @failures.size.positive? || !@failures.closed? }
    end

    def add(outcome) = outcome.failure ? @failures << outcome : @tally.add(outcome)

    # Tallies what is left at once.
    def stop
      @failures.close
      @stopping.close
      @thread.join
    end

    private

    def pass_on
      outcome = @failures.pop or return
      left = outcome.ended_at + @seconds - Rig.now
      @stopping.pop(timeout: left) if left.positive?
      @tally.add(outcome)
    end
  end
end
