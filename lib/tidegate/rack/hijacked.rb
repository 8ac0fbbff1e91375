# frozen_string_literal: true

# The connections that apps have hijacked. Each is a real socket. The server counts it until it is closed, waits for it at the
# end of a drain, and cuts it when the time is up.

require "socket"

module Tidegate
  class Hijacked
    # Tells the server when the socket is closed. If the app forgets to close a socket, the garbage collector closes it, and the
    # server learns of that too.
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

    # Ends the socket of an app that has failed, so that the client does not wait until the socket is garbage-collected. It is shut
    # down first, because closing waits for a thread that reads from it.
    def self.end(socket)
      socket.shutdown(Socket::SHUT_RDWR) unless socket.closed?
    rescue SystemCallError, IOError
      nil # the client has ended it first
    ensure
      socket.close
    end

    # The socket for a descriptor, which the socket owns from now on. Interrupts wait until then, so that the descriptor is not lost.
    def open(descriptor, tcp, guard)
      Thread.handle_interrupt(Object => :never) { adopt(descriptor, tcp, guard) }
    end

    # Shuts down the sockets that are still open, in both directions. The app reads the end and closes them.
    def cut
      @sockets.each_key do |socket|
        socket.shutdown(Socket::SHUT_RDWR) unless socket.closed?
      rescue SystemCallError, IOError
        nil # the client has ended it first
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
