# frozen_string_literal: true

# What systemd is told by a master, which has no thread for that: it does so at the turns of its loop.

module Tidegate
  class SystemdTurns
    # +systemd+ is a Systemd; nil if another program has started this process.
    def initialize(systemd)
      @systemd = systemd
      @due = 0
    end

    # All workers serve, on these +addresses+.
    def ready(addresses) = @systemd&.ready("serving on #{addresses.join(", ")}")

    # A reload begins, which `ready` ends.
    def reloading(text) = @systemd&.reloading(text)

    # Says what is due: that the master lives, or that it stops and needs time.
    def turn(stopping:)
      return if @systemd.nil? || now < @due

      @systemd.stopping if stopping && !@stopping
      @stopping = stopping
      stopping ? @systemd.needs_time : (@systemd.alive if @systemd.alive_every)
      @due = now + (stopping ? Systemd::EXTEND_EVERY : @systemd.alive_every || Master::TICK)
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
