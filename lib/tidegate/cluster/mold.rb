# frozen_string_literal: true

# A worker that has left, and from which the next workers are forked: its memory is warm, and most of it stays shared with them. Nothing
# of its server runs any more. The master asks for each worker through the control socket.

module Tidegate
  class Mold
    # What the master sends: "sockets ADDRESS ..." with a descriptor for each, once; "fork INDEX SLOT" with the worker's end of its
    # control socket. An asterisk before an address says that the socket goes on listening when the cluster has ended.
    ORDER = /\A(fork|sockets) (.+)\z/

    # What ends it, beside the bytes of signals.
    ENDS = [WorkerHandle::RETIRE, WorkerHandle::STOP].freeze
    private_constant :ENDS

    def initialize(parts, control)
      @parts = parts
      @control = control
    end

    # Forks workers until the master closes its end, or tells the mold to go. Returns the exit status.
    def run
      @parts.server.live_on
      hooks(:before_refork).run
      clean_up
      Process.setproctitle("tidegate: mold [#{@parts.tag}]")
      @control.write("mold\n")
      while (line = order)
        command, rest = line.match(ORDER)&.captures
        break unless command

        command == "fork" ? fork_worker(*rest.split.map { |word| Integer(word) }) : take_sockets(rest.split)
      end
      0
    rescue SystemCallError, IOError, SocketError
      0 # the master has gone, or a descriptor got lost
    ensure
      hooks(:after_refork).run
    end

    private

    # A line, read byte for byte, because a descriptor may come with what follows. nil at the end, and for a byte that ends the mold.
    def order
      line = +""
      while (byte = @control.recv(1)) && !byte.empty?
        return line if byte == "\n"
        return if byte.ord < WorkerHandle::SIGNALS.size || ENDS.include?(byte)

        line << byte
      end
    end

    # The server of this process has closed its own.
    def take_sockets(addresses)
      @sockets = addresses.map { |address| [address.delete_prefix("*"), @control.recv_io, address.start_with?("*")] }
    end

    # Forks twice, so that the worker becomes a child of the master, which adopts orphans.
    def fork_worker(index, slot)
      control = @control.recv_io(UNIXSocket)
      ThreadRoom.for_fork!
      middle = fork do
        fork { exit(be_worker(index, slot, control)) }
        exit!(0)
      end
      control.close
      Process.wait(middle)
    rescue SystemCallError => error
      control&.close # the master reads the end, and gives the worker up
      @parts.log.error("the mold cannot fork a worker: #{Fault.reason(error)}")
    end

    def be_worker(index, slot, control)
      @control.close
      @parts.bind(InheritedSockets.of(@sockets))
      WorkerProcess.new(@parts, index, slot, control).run
    end

    # Process.warmup would move objects together, and so write to all pages: none of them would be the master's any more, which has
    # the same app in the same places.
    def clean_up = GC.start

    def hooks(name) = Hooks.new(name, @parts.configuration.public_send(name), @parts.log)
  end
end
