# frozen_string_literal: true

require "socket"

# Notifies systemd of a service with `Type=notify` (sd_notify(3)): that it is ready, that it stops and how long that may take,
# and that it is alive.

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

    # Notifies systemd of +server+, a Tidegate::Server that serves now, until it has stopped.
    def accompany(server)
      notify("READY=1\nMAINPID=#{Process.pid}\nSTATUS=serving on #{server.addresses.join(", ")}")
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
      notify("STOPPING=1\nSTATUS=finishing what is in flight")
      until server.phase == :stopped
        notify("EXTEND_TIMEOUT_USEC=#{(EXTEND_BY * 1e6).to_i}")
        sleep(EXTEND_EVERY)
      end
    end

    # Sends signs of life, from a Ruby thread: if Ruby is stuck, none is sent.
    def show_life(server)
      until server.phase == :stopped
        notify("WATCHDOG=1")
        sleep(@watchdog / 2)
      end
    end
  end
end
