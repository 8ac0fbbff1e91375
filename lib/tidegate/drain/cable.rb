# frozen_string_literal: true

# Closes Action Cable's connections in a drain, as its own restart does: each client is told that the server restarts, gets a
# proper Close, and connects again. The connections are closed one by one over the later part of the drain delay. By then the
# load balancers send clients to other servers, and the clients do not all come at once.

module Tidegate
  class CableDrain
    # The part of the drain delay in which connections are closed.
    SPREAD = (0.25..0.9)

    # Seconds between two looks whether the delay was cut short.
    LOOK = 0.1

    # Whether the app has loaded Action Cable.
    def self.applies? = defined?(::ActionCable::Server::Base) && ::ActionCable.respond_to?(:server)

    # +server+ is the Tidegate::Server that drains.
    def initialize(server)
      @server = server
    end

    # Closes all connections, also those that are made meanwhile.
    def call
      delay = @server.drain_delay
      began = now
      wait_until(began + (delay * SPREAD.begin))
      spread(connections.shuffle, began + (delay * SPREAD.end))
      wait_until(began + delay)
      loop do
        connections.each { |connection| close(connection) }
        break if @server.phase == :stopped || @server.stats[:hijacked].to_i.zero?

        sleep(LOOK)
      end
    end

    private

    def connections = ::ActionCable.server.connections.dup

    def spread(list, last)
      step = [last - now, 0].max / [list.size, 1].max
      list.each do |connection|
        close(connection)
        wait_until(now + step)
      end
    end

    def close(connection)
      connection.close(reason: ::ActionCable::INTERNAL[:disconnect_reasons][:server_restart], reconnect: true)
    end

    # Waits until +time+ while the server drains, and no longer once it closes.
    def wait_until(time)
      sleep([time - now, LOOK].min) while now < time && @server.phase == :draining
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
