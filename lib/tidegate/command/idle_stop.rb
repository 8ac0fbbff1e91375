# frozen_string_literal: true

# The option idle_timeout, as Puma has it: a server that has had no request for so long stops. What starts servers on demand, such as a
# systemd socket, starts it again.

module Tidegate
  class IdleStop
    # The most seconds between two looks.
    LONGEST_PAUSE = 1.0

    # +server+ is stopped after +seconds+ without a request; +log+ gets the reason.
    def initialize(server, seconds, log, clock: -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) })
      @server = server
      @seconds = seconds
      @log = log
      @clock = clock
      @requests = nil
    end

    # Looks from now on, in a thread of its own.
    def start
      KeptThread.new("tidegate idle", @log) { watch }.start
      self
    end

    # Looks once: whether the server has had no request since the time of the last one that was seen, for long enough.
    def over?
      stats = @server.stats
      now = @clock.call
      if stats[:requests] != @requests || stats[:in_flight].positive? || stats[:queued].positive? || stats[:hijacked].positive?
        @requests = stats[:requests]
        @since = now
      end
      now - @since >= @seconds
    end

    private

    def watch
      sleep([@seconds / 4, LONGEST_PAUSE].min) until over? || @server.draining?
      return if @server.draining?

      @log.info(format("no request for %<seconds>g s (idle_timeout): the server stops", seconds: @seconds), event: "idle")
      @server.stop
    end
  end
end
