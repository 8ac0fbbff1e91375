# frozen_string_literal: true

# What runs in a worker's process, from the fork to the exit: a server as a single process has it, which shares its listeners with the
# other workers and hears of the master through the control socket.

module Tidegate
  class WorkerProcess
    # Signals that a process group or a terminal sends to all; the master passes on what they mean. A trap that does nothing, because
    # an ignored signal would be ignored in the app's own children too.
    LEFT_TO_MASTER = %w[INT HUP USR1 USR2 TTIN TTOU WINCH].freeze
    UNHEARD = proc {}

    # Of those, what comes to a whole process group and would end a worker in mid-request.
    GROUP_WIDE = %w[INT HUP].freeze

    # The signals that have one worker leave.
    RETIRING = %w[TERM QUIT].freeze

    # The signal that has a worker become the mold of the next workers when it has left.
    MOLD = "URG"

    # +parts+ are what all workers share; +index+, +slot+ and +control+, the worker's end of the socket, its own.
    def initialize(parts, index, slot, control)
      @parts = parts
      @index = index
      @slot = slot
      @control = control
      @log = parts.log
      @signals = Signals.new(@log, names: RETIRING)
    end

    # Serves until the worker is told to leave, and returns the exit status.
    def run
      prepare
      serve
    rescue Signals::Stopped
      0
    rescue Error => error
      @parts.report(error)
      1
    ensure
      @signals.restore
    end

    private

    def configuration = @parts.configuration

    def prepare
      Signal.trap("CHLD", "DEFAULT")
      @signals.install
      LEFT_TO_MASTER.each { |name| Signal.trap(name, UNHEARD) }
      Signal.trap(MOLD) { @becomes_mold = true }
      say("pid #{Process.pid}")
      Process.setproctitle("tidegate: worker #{@index} booting [#{@parts.tag}]")
    end

    def serve
      hooks(:before_worker_boot).run(@index)
      @parts.load_app
      reclaim_signals
      @signals.check
      server = @parts.server
      server.join_cluster(@parts.cluster, @slot, @control.fileno)
      server.steering = method(:pass_to_master)
      @signals.hand_over(server) { server.start(signals: @signals.names) }
      Process.setproctitle("tidegate: worker #{@index} (#{server.addresses.join(", ")}) [#{@parts.tag}]")
      reopen_when_asked(server)
      say("booted")
      wait(server)
      hooks(:before_worker_shutdown).run(@index)
      conclude(server)
    end

    # The app may have trapped signals in a hook, or while this worker has loaded it. One worker tells of it.
    def reclaim_signals
      others = @signals.reclaim + GROUP_WIDE.reject { |name| Signal.trap(name, UNHEARD).equal?(UNHEARD) }
      @log.error(Signals.reclaimed(others)) if others.any? && @index.zero?
    end

    # Opens the log files anew, and looks at those of certificates. The master has opened its own files then, and says so.
    def reopen_when_asked(server)
      redirect = @parts.redirect
      return unless redirect || configuration.tls?

      asked = 0
      KeptThread.new("tidegate logs", @log) do
        while (asked = server.await_reopen(asked))
          redirect&.reopen(server)
          server.reload_certificates
        end
      end.start
    end

    # As in a single process: a thread of the app that calls exit ends the worker, after what is in flight.
    def wait(server)
      server.join
    rescue SystemExit
      server.retire
      server.join
      raise
    end

    def conclude(server)
      status = server.exit_status
      return Mold.new(@parts, @control).run if @becomes_mold && status.zero? && !server.stuck?

      Native.exit_within(Launcher::EXIT_GRACE, status) if server.stuck? || !status.zero?
      status
    end

    def say(line)
      @control.write("#{line}\n")
    rescue SystemCallError
      nil # the master has gone, and the server hears of it
    end

    # A command of the admin listener's: the outcome is the master's business, and in its log.
    def pass_to_master(command)
      return unless Master::COMMANDS.include?(command)

      say(command)
      [true, "the master was asked"]
    end

    def hooks(name) = Hooks.new(name, configuration.public_send(name), @log)
  end
end
