# frozen_string_literal: true

require_relative "../support/child"

# Live progress on stderr: what happens, with the time and the counts so far.
module Rollout
  class Progress
    def initialize(out = $stderr)
      @out = out
      @began_at = Rig.now
    end

    attr_writer :tally

    def say(sentence)
      counts = @tally ? format("%6d requests, %d failed", @tally.total, @tally.failed) : ""
      @out.puts(format("%6.1f s  %-28s %s", Rig.now - @began_at, counts, sentence))
    end

    # Says the counts once a second while the block runs.
    def during
      over = Queue.new
      ticker = Thread.new { say("") until over.pop(timeout: 1) }
      yield
    ensure
      over << true
      ticker.join
    end
  end
end
