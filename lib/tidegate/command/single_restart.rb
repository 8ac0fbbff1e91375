# frozen_string_literal: true

# A restart of a single process: the new image is tried in a child; then the server takes nothing new, finishes what it has, and its
# process becomes the new image. Connections that come meanwhile wait in the listening queue, which stays open.

module Tidegate
  class SingleRestart
    # +hooks+ run before the server retires. Its sockets stay open then.
    def initialize(server, image, log, hooks: [])
      @server = server
      @image = image
      @log = log
      @hooks = hooks
      @lock = Mutex.new
    end

    # Begins to restart, in the calling thread, unless a restart is under way or the server stops. +reason+ is for the log.
    def begin(reason)
      return unless @lock.try_lock

      begin
        @log.info("restarting, as #{reason}")
        restart if fit?
      ensure
        @lock.unlock
      end
    rescue Error => error
      @log.error(error.message)
    end

    # Ends the trial that may be under way: the server ends.
    def give_up
      Process.kill(:TERM, @trial) if @trial
    rescue Errno::ESRCH
      nil
    end

    private

    # Whether the new image can boot.
    def fit?
      @trial = @image.try or return true

      _, status = Process.wait2(@trial)
      @trial = nil
      @log.error("the new image #{WorkerEnd.new(status)} in its trial boot: nothing is restarted") unless status.success?
      status.success?
    end

    def restart
      return if @server.draining?

      Hooks.new(:before_restart, @hooks, @log).run
      @image.wish(sockets: @server.sockets, ticket_keys: @server.ticket_keys)
      @server.retire
    end
  end
end
