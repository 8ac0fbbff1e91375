# frozen_string_literal: true

# Connections that apps have taken for themselves. Each is a real socket; the server counts it until it is closed, waits
# for it at the end of a drain, and cuts it when the time is up.

require "socket"

module Tidegate
  class Hijacked
    # What makes a socket one of ours: the server learns that it was closed. One that is forgotten unclosed is closed by
    # the garbage collector, and the server learns of that too.
    module Reported
      # +guard+ is a Native::HijackGuard: the server waits until it is released.
      def report_to(guard)
        @guard = guard
        self
      end

      def close = reporting { super }

      def close_read = reporting { super }

      def close_write = reporting { super }

      private

      def reporting
        yield
      ensure
        @guard&.release if closed?
      end
    end

    class TCP < TCPSocket
      prepend Reported
    end

    class Unix < UNIXSocket
      prepend Reported
    end

    def initialize
      # Sockets that the app has dropped are not kept.
      @sockets = ObjectSpace::WeakMap.new
    end

    # Ends one for an app that has failed: its client is not to wait until the socket is collected. Not by closing alone: a
    # thread that reads from it would have to be waited for.
    def self.end(socket)
      socket.shutdown(Socket::SHUT_RDWR) unless socket.closed?
    rescue SystemCallError, IOError
      nil # the client was faster
    ensure
      socket.close
    end

    # The socket for a descriptor, which is its own from now on: what interrupts the thread has to wait until there is one.
    def open(descriptor, tcp, guard)
      Thread.handle_interrupt(Object => :never) { adopt(descriptor, tcp, guard) }
    end

    # Ends those that are still open, in both directions. Their owners see the end and close them.
    def cut
      @sockets.each_key do |socket|
        socket.shutdown(Socket::SHUT_RDWR) unless socket.closed?
      rescue SystemCallError, IOError
        nil # the client was faster
      end
    end

    private

    def adopt(descriptor, tcp, guard)
      socket = (tcp ? TCP : Unix).for_fd(descriptor)
      socket.do_not_reverse_lookup = true
      socket.report_to(guard)
      @sockets[socket] = true
      socket
    end
  end
end
