# frozen_string_literal: true

# A server as a process: from the options to the exit status, with signals, pidfile and process title. This is what
# `tidegate`, `rackup -s tidegate` and `rails server -u tidegate` run.

module Tidegate
  class Launcher
    # Seconds that the process may still take to end after a stop that could not wait for everything. What is left
    # then is a thread stuck in the app or an at_exit block that does not come back; the platform's KILL comes next. With
    # the half second that a forced stop may take and Server::FORCED_GRACE it fits into the 2 s that the plan keeps back,
    # and leaves one of them.
    EXIT_GRACE = 0.3

    # +flags+ and +defaults+ are Layers, the strongest and the weakest source of the configuration. Without +app+ the
    # rackup file is loaded. +command+ starts the same server again.
    def initialize(flags:, defaults: Configuration::Layer.new, env: ENV, app: nil, log: Log.new, command: Restart.own_command)
      @flags = flags
      @defaults = defaults
      @env = env
      @app = app
      @log = log
      @command = command
      @directory = Dir.pwd
      @signals = Signals.new(log)
    end

    # Serves until a signal ends it, and returns the exit status. Yields the Server before it starts.
    def run(&)
      run_once(&).tap { restart unless @restarts_at_exit }
    end

    private

    # A signal that came meanwhile wants the end, and not another beginning.
    def restart? = @restart&.wanted? && !@signals.told?

    def restart
      @restart&.stop
      @restart.execute if restart?
    rescue Error => error
      report(error)
    end

    # The app is not loaded yet, so that its own blocks run before the process is replaced.
    def restart_at_exit
      @restarts_at_exit = true
      at_exit { restart }
    end

    def run_once(&block)
      @signals.install
      @signals.defer { Native }
      configure
      serve(&block)
    rescue Signals::Stopped => stopped
      abandon(stopped)
    rescue Error => error
      report(error)
    ensure
      @pidfile&.remove
      @signals.restore
    end

    def configure
      @configuration = Configuration.resolve(flags: @flags, env: @env, defaults: @defaults)
      @log = @log.for(@configuration)
      @configuration.warnings.each { |warning| @log.error(warning) }
      warn_of_shell
      change_directory
      export_environment unless @app
      prepare_restart if @configuration.restart_file && @signals.installed?
    end

    def warn_of_shell
      shell = PidOne.shell or return

      @log.error("process 1 is the shell #{shell}, which does not pass TERM on: the platform will kill this server in mid-request. " \
                 "Start it with exec, or in a Dockerfile as CMD [\"bundle\", \"exec\", \"tidegate\"]")
    end

    # Before the app is loaded: what is touched while that goes on counts.
    def prepare_restart
      return @log.error("restart_file changes nothing: it is not known how this process was started") unless @command

      @restart = Restart.new(@configuration.restart_file, @command, @directory, @log)
      restart_at_exit unless @app
    end

    def serve
      if @signals.installed?
        Arenas.limit(@env)
        Descriptors.raise_limit
      end
      loader = AppLoader.new(@configuration.rackup) unless @app
      @server = Server.new(@app || loader, configuration: @configuration, log: @log, surroundings:).bind
      @server.guard_boot(@signals.names) if @signals.installed?
      loader&.load
      @signals.check
      yield @server if block_given?
      listen
      @restart&.watch(@server)
      Systemd.from(@env)&.accompany(@server)
      hooks(:after_booted)
      wait
      conclude
    end

    # A thread of the app that calls exit ends the main thread: what is in flight is finished first, and the status is the app's.
    def wait
      @server.join
    rescue SystemExit
      @server.stop
      @server.join
      conclude
      raise
    end

    def surroundings
      fault = @configuration.spool_directory && TemporaryDirectory.fault(@configuration.spool_directory)
      raise ConfigurationError, "#{@configuration.origin(:spool_directory)}: the spool_directory cannot be written to: #{fault}" if fault

      Surroundings.of(@env, @log)
    end

    def hooks(name) = Hooks.new(name, @configuration.public_send(name), @log).run

    # The signals are ours, and the pidfile is there, before the first line that says "ready".
    def listen
      @pidfile = Pidfile.new(@configuration.pidfile).tap(&:write)
      reclaim_signals
      @signals.hand_over(@server) { @server.start(signals: @signals.names) }
      Process.setproctitle("tidegate #{VERSION} (#{@server.addresses.join(", ")}) [#{tag}]")
    end

    def reclaim_signals
      others = @signals.reclaim
      return if others.empty?

      @log.error("the app has trapped #{others.join(" and ")}; its handler is not used, at_exit runs after the last request")
    end

    def conclude
      status = @server.exit_status
      leave_within(EXIT_GRACE, status) if (@server.stuck? || !status.zero?) && !restart?
      hooks(:after_stopped)
      status
    end

    # The app was still booting: nothing has been accepted, so that nothing has to be waited for.
    def abandon(stopped)
      leave_within(EXIT_GRACE, 0) if @server # first of all: the line may go to a pipe that is full
      @log.info("stopped by #{stopped.signal} before it was ready")
      @server&.stop
      0
    end

    def report(error)
      @server&.stop
      if error.is_a?(AppLoadError) && error.cause && backtraces?
        @log.report(error.cause, event: "boot_error", detail: true) { error.message }
      else
        @log.error(error.message)
      end
      1
    end

    def backtraces? = @configuration.debug || @configuration.development?

    # Only a server that has the process to itself may set an end to it.
    def leave_within(seconds, status)
      Native.exit_within(seconds, status) if @signals.installed?
    end

    def change_directory
      Dir.chdir(@configuration.directory) if @configuration.directory
    rescue SystemCallError => error
      raise ConfigurationError, "#{@configuration.origin(:directory)}: cannot change the directory: #{Fault.reason(error)}"
    end

    # The app reads its environment from these variables. RACK_ENV is always there for it, as under Puma; the other
    # two are changed only where a flag contradicts them, or it would be ignored.
    def export_environment
      environment = @configuration.environment
      @env["RACK_ENV"] = environment
      return unless @flags.key?(:environment)

      %w[APP_ENV RAILS_ENV].each { |name| @env[name] = environment if @env.key?(name) }
    end

    def tag = @configuration.tag || File.basename(Dir.pwd)
  end
end
