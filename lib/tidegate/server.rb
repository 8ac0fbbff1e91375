# frozen_string_literal: true

# A server in this process: sockets and HTTP in native threads, and Ruby threads that run the app. There may be
# several. It traps no signal, reads no environment variable and looks for no platform; the launcher does that for the
# command line.
#
#   server = Tidegate::Server.new(app, port: 0, host: "127.0.0.1").start
#   server.addresses        # => ["tcp://127.0.0.1:40123"]
#   server.stop
#   server.join

module Tidegate
  # A server in this process: {#start} binds and serves, {#stop} drains, {#join} waits for the end. There may be several.
  #
  #   server = Tidegate::Server.new(app, port: 0, host: "127.0.0.1").start
  #   server.addresses        # => ["tcp://127.0.0.1:40123"]
  #   server.stop
  #   server.join
  class Server
    # Seconds for workers to come back from the app once all connections are closed, when no client waits for what they do
    # any more. This and FORCED_GRACE fit into the 2 s that the shutdown plan keeps back.
    GRACE = 1.0

    # The same after a forced stop, when the server has waited for them already.
    FORCED_GRACE = 0.1

    # Seconds for hooks of the drain that are still running when the last connection is gone.
    HOOK_GRACE = 0.5

    THREADS_UNKNOWN = "a Ractor was there before Tidegate was loaded, so Ruby does not tell which requests wait for something: " \
                      "each counts as one that computes, and the time slices are Ruby's. Load it first: require \"tidegate/native\""
    # Before 3.3 Ruby hears of a signal in a thread that sleeps. All of ours wait outside of Ruby, and traps ran when a request came.
    TRAPS_NEED_A_THREAD = RUBY_VERSION < "3.3"
    # Seconds. One sleeping thread hears of signals, and where that wakes, others have to fall asleep anew to take its place.
    TRAPS_WITHIN = 0.5
    private_constant :THREADS_UNKNOWN, :TRAPS_NEED_A_THREAD, :TRAPS_WITHIN

    # What carries out the commands of the admin listener that change the process, such as `restart` and `phased-restart`: it is
    # called with the name of one, in a thread of the server, and returns whether it was done with a sentence about it (nil for
    # none), or nil where it knows no such command. The launcher sets it.
    #
    # @api private
    # @return [#call, nil]
    attr_reader :steering

    # The addresses that are listened on, with their real ports; empty before #start.
    #
    # @return [Array<String>]
    attr_reader :addresses

    # @param app [#call] a Rack app
    # @param configuration [Configuration, nil] takes the place of +options+ where they are resolved already
    # @param log [Log, nil] where lines go, in the way that +options+ say; standard output and standard error unless given
    # @param surroundings [Surroundings] what the launcher has found out about the process
    # @param options [Hash] those of the configuration table (docs/options.md)
    # @raise [ConfigurationError] for an option that is unknown or has a value that it can't have
    def initialize(app, configuration: nil, log: nil, surroundings: Surroundings.unknown, **options)
      @surroundings = surroundings
      @configuration = configuration || Configuration.embedded(options)
      @log = configuration && log ? log : (log || Log.new).for(@configuration)
      @configuration.warnings.each { |warning| @log.error(warning) } unless configuration
      @app = AroundApp.wrap(app, @configuration)
      @addresses = []
      @beginning = Mutex.new
      @hijacked = Hijacked.new
      @interrupter = @configuration.request_timeout&.then { |limit| Interrupter.new(limit, @log) }
      @delivery = Delivery.new(@log, handler: @configuration.lowlevel_error_handler, development: @configuration.development?,
                                     interrupter: @interrupter)
    end

    # Sets that. Takes effect at once, also while the server runs.
    #
    # @api private
    # @param command [#call, nil]
    def steering=(command)
      @steering = command
    end

    # Makes the sockets, so that an address in use is known before anything else is done.
    #
    # @return [self]
    # @raise [BindError] when an address cannot be had
    # @raise [ConfigurationError] for a setting that the native side finds wrong
    def bind
      Tidegate.load_late_parts
      @native ||= native.tap(&:bind)
      @surroundings.sockets.close # the native side has its own
      self
    end

    # The line that says that so many workers, forked from this process, serve.
    #
    # @api private
    def ready_sentence(workers) = @native.ready_sentence(workers, ThreadLimit.after_boot(@configuration))

    # Binds for workers that this process is to fork: it serves nothing itself.
    #
    # @return [self]
    # @api private
    def share
      @native.share
      self
    end

    # For a master whose workers have ended: closes the listeners, and prints what was done in the drain of +cluster+.
    #
    # @api private
    def conclude_cluster(cluster, seconds, status)
      @log.attend(@native)
      @native.conclude_cluster(cluster, seconds, status)
    ensure
      @log.leave
    end

    # Makes this the server of a worker: it shares its listeners with the other workers of +cluster+, has a line of the table of its own,
    # and hears of the master through a socket.
    #
    # @param cluster [Native::Cluster]
    # @param slot [Integer]
    # @param control [Integer] the socket's descriptor, of which the server makes one of its own
    # @api private
    def join_cluster(cluster, slot, control)
      @in_cluster = true # where the master knows when all workers are idle
      @native.join_cluster(cluster, slot, control)
    end

    # Waits until the master has asked more than +seen+ times to open the log files anew.
    #
    # @return [Integer, nil] how often it has; nil where there is no master
    # @api private
    def await_reopen(seen) = @native.await_reopen(seen)

    # Begins to leave the cluster, and returns at once: the other workers serve on.
    #
    # @return [void]
    def retire = @native.retire

    # The process is to live on when the server has stopped, although the server was told to end it.
    #
    # @api private
    def live_on = @native.live_on

    # For a process that the server has to itself, while the app is loaded: it ends on one of these +signals+ although Ruby is
    # too busy to run a trap, in the platform's time.
    def guard_boot(signals)
      @native.guard_boot(signals)
      self
    end

    # Ends what #guard_boot has begun, before the process forks.
    #
    # @api private
    def end_guard = @native.end_guard

    # Starts accepting, and returns when it does; the work is done in background threads. With +signals+, those of a process that
    # runs only the server, as the launcher's, the native side handles them from the moment in which clients can connect, also while
    # Ruby is too busy to run a trap; and the process ends with the server, within the platform's time.
    #
    # @param signals [Array<Symbol>, nil] of :TERM, :INT, :QUIT and :HUP
    # @return [self]
    # @raise [BindError] when an address cannot be had
    # @raise [Error] for a second start
    def start(signals: nil)
      begin_once { bind }
      @process = Process.pid
      @log.error(THREADS_UNKNOWN) unless Native.knows_threads?
      max = ThreadLimit.after_boot(@configuration)
      @pool = pool(max).start
      listen(max, signals)
      Running.add(self)
      @answerer = Control::Answerer.new(@native, @log) { |command| steering&.call(command) }.start if @configuration.admin
      @gc_figures = GCFigures.new(@native, @log).start if @configuration.admin
      @interrupter&.start(@native)
      watch_for_idleness unless @in_cluster
      @out_of_band = OutOfBand.new(@configuration.out_of_band, @log).start(@native) if @configuration.out_of_band.any?
      @hooks = DrainHooks.new(@configuration, self, @log).start(@native)
      @trap_watch = KeptThread.new("tidegate signals", @log) { sleep(TRAPS_WITHIN) until phase == :stopped }.start if TRAPS_NEED_A_THREAD
      self
    end

    # Begins to stop, and returns at once. With +drain+ everything new is served for the drain delay first.
    # To call it twice changes nothing; to call it without +drain+ after a call with it ends the delay.
    #
    # @param drain [Boolean]
    # @return [void]
    def stop(drain: false)
      @native&.stop(drain) if here?
    end

    # Does what the process does on the signal of that name. Allowed in a trap.
    #
    # @param name [Symbol] :TERM, :INT, :QUIT or :HUP
    # @return [void]
    def signal(name) = @native&.signal(name)

    # Hears the process's signals no longer by itself.
    def ignore_signals = @native.ignore_signals

    # Waits until the server is told to stop.
    def await_stop = @native.await_stop

    # Waits until the server has stopped and its workers have ended.
    #
    # @param timeout [Numeric, nil] seconds; nil for no limit
    # @return [Boolean] false when they have passed first
    def join(timeout = nil)
      return true unless @listening && here?
      return false unless @native.join(timeout)

      @trap_watch&.kill
      Running.remove(self)
      Backtraces.new([self]).print(@log, "shutdown_debug, forced to stop") if @configuration.shutdown_debug && !exit_status.zero?
      @hooks&.join(exit_status.zero? ? HOOK_GRACE : FORCED_GRACE)
      @out_of_band&.finish(exit_status.zero? ? HOOK_GRACE : FORCED_GRACE)
      @hijacked.cut
      @answerer&.finish
      @gc_figures&.finish
      @stuck = !@pool.finish(exit_status.zero? ? GRACE : FORCED_GRACE)
      @interrupter&.finish(exit_status.zero? ? HOOK_GRACE : FORCED_GRACE)
      @log.leave
      true
    end

    # Whether the server has stopped while the app held on to a worker, which was then killed.
    #
    # @return [Boolean]
    def stuck? = @stuck == true

    # The port of the first TCP address.
    #
    # @return [Integer, nil]
    def port = addresses.find { |address| address.start_with?("tcp://", "ssl://") }&.slice(/\d+\z/)&.to_i

    # The address that answers the probes.
    #
    # @return [String, nil]
    def admin_address = @native&.admin_address

    # 0, or 1 when a request was cut off. Known after #join.
    #
    # @return [Integer]
    def exit_status = @native.exit_status

    # The sockets that were bound, for the next image of a process that replaces its own (InheritedSockets.handed_on).
    # @api private
    # @return [Array<Array(String, Integer, Boolean)>] for each: its address as it was configured, its descriptor, and whether it
    #   goes on listening after this process
    def sockets = @native ? @native.sockets : []

    # Writes the log's lines on where the standard streams go, which may have other files meanwhile (Redirect#reopen).
    # @api private
    # @return [void]
    def reopen_logs = @native&.reopen_logs

    # Has the files of the certificates looked at now; what comes of it is in the log. They are looked at every tls_reload_interval
    # seconds anyway.
    #
    # @return [void]
    def reload_certificates = @native&.reload_certificates

    # The keys by which clients resume TLS sessions, for the next image of the process: a secret.
    # @api private
    # @return [String]
    def ticket_keys = @native.ticket_keys

    # Takes those of the image before this one, before #start.
    # @api private
    def adopt_ticket_keys(keys) = @native.adopt_ticket_keys(keys)

    # Where the server is in its life.
    #
    # @return [Symbol] :booting, :ready, :draining, :closing, :forcing or :stopped, which it is as well in a child of the process that
    #   has started it: a fork has none of its threads
    def phase
      return :stopped unless here?

      @native ? @native.phase : :booting
    end

    # Seconds for which everything new is served after TERM. Known after #bind.
    #
    # @return [Float]
    def drain_delay = @native.drain_delay

    # What happens on TERM, in seconds: drain_delay, shutdown_timeout and budget (nil for none), with sentences about what did not
    # fit in clamped.
    #
    # @return [Hash{Symbol => Float, nil, Array<String>}]
    def plan = @plan || Native.plan(settings)

    # Whether the server has been told to stop. In `env["tidegate.draining"]` for apps that keep connections of their own.
    def draining? = !%i[booting ready].include?(phase)

    # Counters since the start, by name.
    #
    # @return [Hash{Symbol => Integer}]
    def stats = @native ? @native.stats : {}

    # How many threads do not come back from a request that has exceeded request_timeout, although they were interrupted.
    #
    # @return [Integer]
    def stuck_requests = @native ? @native.stuck : 0

    # The threads that are in the app, each with its request: its method, its path, and for how many seconds the app has had it.
    #
    # @return [Array<Array(Thread, Hash)>]
    def serving
      return [] unless @native

      @native.serving.map do |thread, exchange, seconds|
        env = exchange.env
        [thread, { method: env["REQUEST_METHOD"].to_s, path: env["PATH_INFO"].to_s, seconds: }]
      end
    end

    private

    # Several threads may try.
    def begin_once
      @beginning.synchronize do
        raise Error, "a server can be started once; make another with Tidegate::Server.new" if @begun

        @begun = true
      end
      yield
    rescue BindError, ConfigurationError
      @begun = false # it may be tried again
      raise
    end

    # Whether this process has started it, or none has yet.
    def here? = @process.nil? || @process == Process.pid

    def pool(max)
      hooks = %i[before_thread_start before_thread_exit].map { |name| Hooks.new(name, @configuration.public_send(name), @log) }
      WorkerPool.new(@native, min: @configuration.min_threads, max:, log: @log, hooks:, delivery: @delivery)
    end

    def watch_for_idleness
      seconds = @configuration.idle_timeout or return

      figures = lambda do
        stats = self.stats
        { requests: stats[:requests], busy: stats.values_at(:in_flight, :queued, :hijacked).sum }
      end
      IdleStop.new(seconds, @log, &figures).start(self)
    end

    def listen(max_threads, signals)
      @log.attend(@native)
      @addresses = @native.listen(max_threads, signals).freeze
      @listening = true
      @log.hand_over(@native)
    rescue StandardError
      @pool.kill
      @log.leave
      raise
    end

    def native
      @surroundings.sockets.drop_unused(@configuration, @log)
      settings = self.settings
      @plan = Native.plan(settings)
      native = Native::Server.new(@app, settings, **log_keywords, delivery: @delivery, hijacked: @hijacked,
                                                  env_template: { **RackEnv.template, "tidegate.draining" => method(:draining?) }.freeze)
      native.show_settings(Control::Settings.json(@configuration)) if @configuration.admin
      native
    end

    # Where the native side writes lines, and which of them come back to go through the app's code first.
    def log_keywords = { log: @log.fileno, errors: @log.error_fileno, **{ relayed: @log.relayed }.compact }

    def settings = NativeSettings.of(@configuration, @surroundings)
  end
end
