# frozen_string_literal: true

# The option idle_timeout, as Puma has it: a server that has had no request for so long stops. What starts servers on demand, such as a
# systemd socket, starts it again.

module Tidegate
  class IdleStop
    # The most seconds between two looks.
    LONGEST_PAUSE = 1.0

    # The figures that are looked at, of all +views+ of the workers of a cluster together. A worker that comes or goes changes the number
    # of requests, so that the time begins anew.
    def self.figures(views)
      views = views.select { |view| %i[serving retiring].include?(view[:state]) }
      { requests: views.map { |view| view.values_at(:pid, :requests) }, busy: views.sum { |view| view[:in_flight] + view[:hijacked] } }
    end

    # +seconds+ without a request are the end; +log+ gets the reason. The block returns the figures: requests, which is another value
    # after each request, and busy, the number of those under way.
    def initialize(seconds, log, clock: -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }, &figures)
      @seconds = seconds
      @log = log
      @clock = clock
      @figures = figures
      @requests = nil
    end

    # Looks from now on, in a thread of its own, and stops +server+.
    def start(server)
      KeptThread.new("tidegate idle", @log) { watch(server) }.start
      self
    end

    # Looks once: whether there has been no request since the time of the last one that was seen, for long enough.
    def over?
      figures = @figures.call
      now = @clock.call
      if figures[:requests] != @requests || figures[:busy].positive?
        @requests = figures[:requests]
        @since = now
      end
      now - @since >= @seconds
    end

    # The same, and says so.
    def tells_end?
      over?.tap do |over|
        @log.info(format("no request for %<seconds>g s (idle_timeout): the server stops", seconds: @seconds), event: "idle") if over
      end
    end

    private

    def watch(server)
      until server.draining?
        return server.stop if tells_end?

        sleep([@seconds / 4, LONGEST_PAUSE].min)
      end
    end
  end
end
