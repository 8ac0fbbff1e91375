# frozen_string_literal: true

# A server as a process: from the options to the exit status, with signals, pidfile and process title. This is what
# `tidegate`, `rackup -s tidegate` and `rails server -u tidegate` run.

module Tidegate
  class Launcher
    # Seconds that the process may still take to end, after a stop that did not wait for everything: a thread may be stuck in the
    # app, or an at_exit block may not return, and the platform's KILL comes next. Together with the half second that a forced
    # stop may take and with Server::FORCED_GRACE, it takes one of the 2 s that the plan keeps back.
    EXIT_GRACE = 0.3

    # +flags+ and +defaults+ are Layers, the strongest and the weakest source of the configuration. Without +app+ the
    # rackup file is loaded. +command+ starts the same server again.
    def initialize(flags:, defaults: Configuration::Layer.new, env: ENV, app: nil, log: Log.new, command: Image.own_command)
      @flags = flags
      @defaults = defaults
      @env = env
      @app = app
      @log = log
      @command = command
      @directory = Dir.pwd
      @process = Process.pid
      @signals = Signals.new(log)
      @ready = Queue.new # closed when the server is ready, from when on it may be restarted
    end

    # Serves until a signal ends it, and returns the exit status. Yields the Server before it starts.
    def run(&)
      run_once(&).tap { replace unless @replaces_at_exit }
    end

    private

    # Replaces the image, if that is wished. A signal that came after the wish means to stop.
    def replace
      return unless image.wished?

      image.replace { @signals.told? }
      UnledWorkers.new(image.legacy, @signals, @log).finish(@signals.told, @server&.plan)
    rescue Error => error
      report(error)
    end

    def restart? = image.wished? && !@signals.told?

    # Replaces the image after the app's own at_exit blocks. Called before the app is loaded, because blocks run in reverse order.
    def replace_at_exit
      @replaces_at_exit = true
      at_exit { replace if Process.pid == @process }
    end

    def run_once(&block)
      attend do
        @legacy = @env[Image::LEGACY]
        @signals.install
        # The image before this one, if there was one, has kept signals for this.
        @signals.defer { Native.tap { |native| native.release_signals if @env.key?(Image::LEGACY) } }
        configure
        run_as_configured(&block)
      end
    end

    # Runs the block, which returns the exit status; so does what ends it early.
    def attend
      yield
    rescue Signals::Stopped => stopped
      abandon(stopped)
    rescue Error => error
      report(error)
    ensure
      @files&.each(&:remove)
      @signals.restore unless restart?
    end

    def configure
      @configuration = Configuration.resolve(flags: @flags, env: @env, defaults: @defaults)
      @log = @log.for(@configuration)
      redirect_output if @signals.installed?
      hear_hangup if @signals.installed?
      tell_of_configuration unless Image.trial?(@env) # the image that follows does
      prepare_compat if @configuration.puma_compat
      warn_of_shell
      change_directory
      export_environment unless @app
      prepare_restart if @signals.installed?
    end

    def tell_of_configuration
      @configuration.warnings.each { |warning| @log.error(warning) }
      [*@configuration.findings, *Banner.threads_hint(@configuration)].each { |finding| @log.info(finding) }
    end

    # Before the first line, which is to be in the file. An image that follows another, or only tries to boot, appends.
    def redirect_output
      follows = Image.trial?(@env) || @env.key?(Image::LEGACY)
      @redirect = Redirect.of(@configuration, @log)&.open(append: follows)
    end

    def hear_hangup
      hangup = Hangup.new(@configuration, @log, @env, @redirect) { @server }
      @signals.on_hangup { hangup.call } if hangup.meant?
    end

    def warn_of_shell
      shell = PidOne.shell or return

      @log.error("process 1 is the shell #{shell}, which does not pass TERM on: the platform will kill this server in mid-request. " \
                 "Start it with exec, or in a Dockerfile as CMD [\"bundle\", \"exec\", \"tidegate\"]")
    end

    # Only tries to boot, or leads a cluster, or serves.
    def run_as_configured(&block)
      return try if Image.trial?(@env)
      return lead(&block) if leads?
      return serve(&block) if @app # which has been loaded, and may have threads that a fork would lose

      PidOne.run { Process.pid == @process ? serve(&block) : serve_as_child(&block) }
    end

    # Whether to fork workers. A process whose main thread does something else, as a test suite, is not to be forked.
    def leads?
      return @configuration.cluster? if @signals.installed? || !@configuration.cluster?

      @log.error("#{@configuration.origin(:workers)}: no workers are forked, as this is not the main thread of the process")
      false
    end

    # As the child of process 1, which has only its memory from before the fork.
    def serve_as_child(&block)
      @process = Process.pid
      attend do
        @signals = Signals.new(@log).tap(&:install)
        hear_hangup
        serve(&block)
      end
    end

    # Loads the app and serves nothing: an image that is to follow another is tried in this way. What the app has registered for the exit
    # is for a process that has served.
    def try
      loader.load unless @app
      @signals.check
      [$stdout, $stderr].each(&:flush)
      exit!(0)
    end

    # Leads a cluster: has workers serve.
    def lead
      prepare_process
      app = @app || loader
      leadership = Leadership.new(@configuration, app, log: @log, env: @env, signals: @signals, image:, surroundings:,
                                                       redirect: @redirect, restart_file: @restart_file) { |error| report(error) }
      @server = leadership.bind
      start_plugins
      leadership.preload
      @signals.check
      yield @server if block_given?
      take_place
      write_state
      tell_of_self
      status = leadership.run { tell_of(leadership.ready_sentence) }
      hooks(:after_stopped) unless image.wished?
      status
    end

    # What runs, before the line that says that it is ready.
    def tell_of_self
      @log.info(Banner.sentence(@configuration), **Banner.fields(@configuration)) if @signals.installed?
    end

    # All workers serve.
    def tell_of(sentence)
      @log.info(sentence, event: "ready")
      booted
    end

    def booted
      PumaCompat.run_background if @configuration.plugins.any?
      hooks(:after_booted)
    end

    # Puma's plugins, and what else asks for Puma. They are told of the server before the app is loaded.
    def start_plugins
      PumaCompat.start(@configuration, @server, @log) if @configuration.puma_compat
    end

    # Gems that ask Puma for its figures get those of the admin listener.
    def prepare_compat
      return @log.error("puma_compat does nothing here: #{PumaCompat.obstacle}") unless PumaCompat.install || PumaCompat.obstacle.nil?

      @configuration = @configuration.with_admin(TemporarySocket.address) unless @configuration.admin
    end

    def loader = AppLoader.new(@configuration.rackup, app: @configuration.app, log: @log)

    def image
      @image ||= Image.new(@configuration&.restart_command || @command, @directory, trial: @app.nil?)
    end

    def prepare_process
      return unless @signals.installed?

      Arenas.limit(@env)
      Descriptors.raise_limit
      TemporarySocket.remove_stale(@configuration.admin) if TemporarySocket.named_by?(@configuration.admin)
    end

    # Called before the app is loaded, so that a touch of the file while it is loaded counts.
    def prepare_restart
      @restart_file = @configuration.restart_file && RestartFile.new(@configuration.restart_file)
      @log.error("restart_file changes nothing: it is not known how this process was started") if @restart_file && !image.known?
      replace_at_exit unless @app
    end

    def serve
      prepare_process
      loader = self.loader unless @app
      @server = Server.new(@app || loader, configuration: @configuration, log: @log, surroundings:).bind
      @server.guard_boot(@signals.names) if @signals.installed?
      accept_restarts
      start_plugins
      loader&.load
      @signals.check
      yield @server if block_given?
      legacy = Image.legacy(@env)
      Image.ticket_keys(legacy)&.then { |keys| @server.adopt_ticket_keys(keys) }
      listen
      write_state
      Image.release_workers(legacy)
      @ready.close
      Systemd.from(@env)&.accompany(@server)
      booted
      wait
      conclude
    end

    # Restarts on USR2, and when the file is touched; both may come while the app is loaded. New connections wait in the listening
    # queue meanwhile.
    def accept_restarts
      return unless @signals.installed? && image.known?

      restart = @restart = SingleRestart.new(@server, image, @log, hooks: @configuration.before_restart)
      begin_when_ready = lambda do |reason|
        @ready.pop
        restart.begin(reason)
      end
      @signals.on_restart = -> { begin_when_ready.call("USR2 came") }
      @restart_file&.watch(@log) { begin_when_ready.call(@restart_file.to_s) }
    end

    # Waits until the server has stopped. If a thread of the app calls exit, which ends the main thread, requests in flight are
    # finished first, and the exit status is the app's.
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

    # Starts the server. Before that logs "ready", the traps are in place and the pidfile is written.
    def listen
      take_place
      tell_of_self
      @signals.hand_over(@server) { @server.start(signals: @signals.names) }
      Process.setproctitle("tidegate #{VERSION} (#{@server.addresses.join(", ")}) [#{tag}]")
    end

    def take_place
      @files = [Pidfile.new(@configuration.pidfile).tap(&:write)]
      reclaim_signals
    end

    def write_state
      state = StateFile.new(@configuration.state_path, permission: @configuration.state_permission)
      state.write(control_url: @server.admin_address, token: AdminToken.of(@configuration))
      @files << state
    end

    def reclaim_signals
      others = @signals.reclaim
      return if others.empty?

      @log.error(Signals.reclaimed(others))
    end

    def conclude
      status = @server.exit_status
      @restart&.give_up
      leave_within(EXIT_GRACE, status) if (@server.stuck? || !status.zero?) && !restart?
      hooks(:after_stopped)
      status
    end

    # A signal came while the app was booting: no connection has been accepted, so that there is nothing to wait for but workers of the
    # image before this one.
    def abandon(stopped)
      status = unled.finish(stopped.signal.delete_prefix("SIG"), @server&.plan)
      leave_within(EXIT_GRACE, status) if @server
      @log.info("stopped by #{stopped.signal} before it was ready")
      @server&.stop
      status
    end

    def unled = UnledWorkers.new(Image.read(@legacy), @signals, @log)

    def report(error)
      @server&.stop
      BootFailure.tell(error, @log, @configuration)
      1
    end

    # Ends the process within +seconds+, if it runs only the server.
    def leave_within(seconds, status)
      Native.exit_within(seconds, status) if @signals.installed?
    end

    def change_directory
      Dir.chdir(@configuration.directory) if @configuration.directory
    rescue SystemCallError => error
      raise ConfigurationError, "#{@configuration.origin(:directory)}: cannot change the directory: #{Fault.reason(error)}"
    end

    # The app reads its environment from these variables. RACK_ENV is always set, as under Puma. The other two are changed only if a
    # flag contradicts them, because the app would ignore the flag.
    def export_environment
      environment = @configuration.environment
      @env["RACK_ENV"] = environment
      return unless @flags.key?(:environment)

      %w[APP_ENV RAILS_ENV].each { |name| @env[name] = environment if @env.key?(name) }
    end

    def tag = @configuration.tag || File.basename(Dir.pwd)
  end
end
