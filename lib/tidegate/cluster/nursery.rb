# frozen_string_literal: true

# Where workers come from: a fork of the master, or of the mold where there is one.

require "socket"

module Tidegate
  class Nursery
    # +parts+ are what all workers share.
    def initialize(parts)
      @parts = parts
    end

    # The worker from which the next are forked. The one before it goes. If it has died meanwhile, that is heard of as of any worker.
    def mold=(worker)
      @mold&.signal(:TERM)
      @mold = worker
      sockets = @parts.server.sockets
      worker.tell("sockets #{sockets.map { |address, _, outlives| "#{"*" if outlives}#{address}" }.join(" ")}\n")
      sockets.each { |_, descriptor| worker.control&.send_io(IO.for_fd(descriptor, autoclose: false)) }
    rescue SystemCallError
      nil
    end

    # A mold has ended. Returns whether another is in its place.
    def lost(worker)
      return true unless worker.equal?(@mold)

      @mold = nil
      false
    end

    # Ends a mold that does not do what it is told.
    def kill_mold = @mold&.kill(:KILL)

    # Has the mold end.
    def close = @mold&.signal(:TERM)

    # Forks a worker, and returns its handle. +others+ are descriptors that it is not to have, so that it hears when the master dies.
    # @raise [SystemCallError]
    def fork(index, slot, others, **more)
      mine, theirs = UNIXSocket.pair
      pid = fork_worker(index, slot, theirs, [mine, *others]) unless ordered?(index, slot, theirs)
      @parts.cluster.spawned(slot, pid) if pid
      WorkerHandle.new(index:, slot:, control: mine, pid:, request_limit:, **more)
    rescue SystemCallError
      mine&.close
      raise
    ensure
      theirs&.close
    end

    private

    def fork_worker(*parts)
      ThreadRoom.for_fork!
      Process.fork { be_worker(*parts) }
    end

    # Whether the mold forks the worker, which then says its pid itself. One that has died does not, and the master does.
    def ordered?(index, slot, control)
      socket = @mold&.control or return false
      @mold.tell("fork #{index} #{slot}\n")
      socket.send_io(control)
      true
    rescue SystemCallError
      false
    end

    def request_limit
      most = @parts.configuration.max_requests
      most && (most + rand(0..@parts.configuration.max_requests_jitter.to_i))
    end

    def be_worker(index, slot, control, others)
      others.each(&:close)
      exit(WorkerProcess.new(@parts, index, slot, control).run)
    end
  end
end
