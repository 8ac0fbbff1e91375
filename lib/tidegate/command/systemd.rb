# frozen_string_literal: true

require "socket"

# Notifies systemd of a service with `Type=notify` or `notify-reload` (sd_notify(3)): that it is ready, that it reloads, that it stops
# and how long that may take, and that it is alive.

module Tidegate
  class Systemd
    # Seconds between two requests for more time, and the seconds that each asks for: several times as many, for a slow machine.
    EXTEND_EVERY = 1.0
    EXTEND_BY = 5.0

    # The systemd that has started this process; nil if another program has.
    def self.from(env)
      address = env["NOTIFY_SOCKET"].to_s
      return unless address.start_with?("/", "@")

      usec = Integer(env["WATCHDOG_USEC"].to_s, exception: false) if env.fetch("WATCHDOG_PID", Process.pid.to_s) == Process.pid.to_s
      new(address, watchdog: usec && usec / 1e6)
    end

    # +address+ is that of a datagram socket, with an @ for Linux's abstract namespace. +watchdog+ is the time in seconds after
    # which systemd takes a service without a sign of life for dead; nil if it does not watch.
    def initialize(address, watchdog: nil)
      @address = address.sub(/\A@/, "\0")
      @watchdog = watchdog
    end

    # Seconds between two signs of life; nil if systemd does not watch.
    def alive_every = @watchdog && @watchdog / 2

    # Says that requests are served, at first and after a reload. +text+ is what `systemctl status` shows.
    def ready(text) = notify("READY=1\nMAINPID=#{Process.pid}\nSTATUS=#{text}")

    # Says that a reload has begun, which `ready` ends. With `Type=notify-reload` systemd waits for both.
    def reloading(text)
      notify("RELOADING=1\nMONOTONIC_USEC=#{Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond)}\nSTATUS=#{text}")
    end

    # Says that the service stops. Until it has ended, `needs_time` has to be called each EXTEND_EVERY seconds.
    def stopping = notify("STOPPING=1\nSTATUS=finishing what is in flight")

    # Asks for more time to stop, or to start.
    def needs_time = notify("EXTEND_TIMEOUT_USEC=#{(EXTEND_BY * 1e6).to_i}")

    # Shows a sign of life, which is due each `alive_every` seconds.
    def alive = notify("WATCHDOG=1")

    # Does all of it for +server+, a Tidegate::Server that serves now, until it has stopped. The master of a cluster calls the methods
    # above from its loop instead.
    def accompany(server)
      ready("serving on #{server.addresses.join(", ")}")
      KeptThread.new("tidegate systemd", nil) { tell_of_stop(server) }.start
      KeptThread.new("tidegate systemd", nil) { show_life(server) }.start if @watchdog
    end

    # Sends one message. If systemd does not take it, the server goes on.
    def notify(message)
      Socket.open(:UNIX, :DGRAM) { |socket| socket.send(message, 0, Socket.sockaddr_un(@address)) }
    rescue SystemCallError
      nil
    end

    private

    def tell_of_stop(server)
      server.await_stop
      stopping
      until server.phase == :stopped
        needs_time
        sleep(EXTEND_EVERY)
      end
    end

    # Sends signs of life, from a Ruby thread: if Ruby is stuck, none is sent.
    def show_life(server)
      until server.phase == :stopped
        alive
        sleep(alive_every)
      end
    end
  end
end
