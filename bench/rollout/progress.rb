# frozen_string_literal: true

require_relative "../support/child"

# Live progress on stderr: what happens, with the time. On a terminal a line below it has the rate, the failures and the
# phase, and is kept up to date; elsewhere each sentence has the counts with it.
module Rollout
  class Progress
    PERIOD = 0.25 # seconds between two states of the line
    WINDOW = 8 # states that the rate is measured over

    ENDINGS = 16 # told of when something has failed

    CLEAR = "\r\e[K"

    def initialize(out = $stderr, live: out.tty?)
      @out = out
      @live = live
      @began_at = Rig.now
      @states = []
      @told = 0
      @mutex = Mutex.new
    end

    attr_writer :tally

    def say(sentence)
      @mutex.synchronize do
        if @live
          @out.write(CLEAR, format("%6.1f s  %s\n", elapsed, sentence), status)
          @out.flush
        else
          @out.puts(format("%6.1f s  %-28s %s", elapsed, counts, sentence).rstrip)
        end
      end
    end

    # The counts; and where something has failed since, how often, when, and how the pods of that time have ended.
    def tick(run)
      say("")
      failures = @tally.failures.drop(@told)
      return if failures.empty?

      @told += failures.size
      failures.map { |failure| "#{failure.kind}, #{failure.phase}, #{failure.client}" }.tally.each { |what, count| say("failed: #{count} x #{what}") }
      say("from #{failures.first.at.round(2)} to #{failures.last.at.round(2)}")
      run.endings.last(ENDINGS).each { |ending| say("#{ending.pod}: #{ending.outcome} at #{ending.ended_at.round(2)}\n#{ending.log.join("\n")}") }
    end

    # Keeps the line up to date while the block runs.
    def during
      return yield unless @live

      over = Queue.new
      ticker = Thread.new { draw until over.pop(timeout: PERIOD) }
      yield
    ensure
      if ticker
        over << true
        ticker.join
        @out.write(CLEAR)
      end
    end

    private

    def elapsed = Rig.now - @began_at

    def counts = @tally ? format("%6d requests, %d failed", @tally.total, @tally.failed) : ""

    def draw
      @mutex.synchronize do
        @states = [*@states, [Rig.now, @tally.total]].last(WINDOW) if @tally
        @out.write(CLEAR, status)
        @out.flush
      end
    end

    def status
      return "" unless @tally

      format("%6.1f s  %s, %.0f/s, %s", elapsed, counts.lstrip, rate, @tally.phase)
    end

    # Requests a second over the last states.
    def rate
      return 0 if @states.size < 2

      (from, before), (to, after) = @states.first, @states.last
      (after - before) / (to - from)
    end
  end
end
