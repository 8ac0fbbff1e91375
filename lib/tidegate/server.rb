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
  class Server
    # Seconds for workers to come back from the app once all connections are closed, when no client waits for what they do
    # any more; and after a forced stop, when the server has waited for them already. Both fit into the 2 s that the shutdown
    # plan keeps back.
    GRACE = 1.0
    FORCED_GRACE = 0.1

    # Seconds for hooks of the drain that are still running when the last connection is gone.
    HOOK_GRACE = 0.5

    THREADS_UNKNOWN = "a Ractor was there before Tidegate was loaded, so Ruby does not tell which requests wait for something: " \
                      "each counts as one that computes, and the time slices are Ruby's. Load it first: require \"tidegate/native\""
    private_constant :THREADS_UNKNOWN

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
    # @param log [Log, nil] where lines go; standard output and standard error unless given
    # @param surroundings [Surroundings] what the launcher has found out about the process
    # @param options [Hash] those of the configuration table (docs/options.md)
    # @raise [ConfigurationError] for an option that is unknown or has a value that it can't have
    def initialize(app, configuration: nil, log: nil, surroundings: Surroundings.unknown, **options)
      @surroundings = surroundings
      @configuration = configuration || Configuration.embedded(options)
      @log = log || Log.new.for(@configuration)
      @app = app
      @addresses = []
      @hijacked = Hijacked.new
      @delivery = Delivery.new(@log, handler: @configuration.lowlevel_error_handler, development: @configuration.development?)
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
      self
    end

    # For a process that the server has to itself, while the app is loaded: it ends on one of these +signals+ although Ruby is
    # too busy to run a trap, in the platform's time.
    def guard_boot(signals)
      @native.guard_boot(signals)
      self
    end

    # Starts accepting, and returns when it does; the work is done in background threads. With +signals+, those of a process that
    # runs only the server, as the launcher's, the native side handles them from the moment in which clients can connect, also while
    # Ruby is too busy to run a trap; and the process ends with the server, within the platform's time.
    #
    # @param signals [Array<Symbol>, nil] of :TERM, :INT, :QUIT and :HUP
    # @return [self]
    # @raise [BindError] when an address cannot be had
    # @raise [Error] for a second start
    def start(signals: nil)
      raise Error, "a server can be started once; make another with Tidegate::Server.new" if @pool

      bind
      @log.error(THREADS_UNKNOWN) unless Native.knows_threads?
      max = ThreadLimit.after_boot(@configuration)
      @pool = pool(max).start
      listen(max, signals)
      Running.add(self)
      @answerer = Control::Answerer.new(@native, @log) { |command| steering&.call(command) }.start if @configuration.admin
      @hooks = DrainHooks.new(@configuration, self, @log).start(@native)
      self
    end

    # Begins to stop, and returns at once. With +drain+ everything new is served for the drain delay first.
    # To call it twice changes nothing; to call it without +drain+ after a call with it ends the delay.
    #
    # @param drain [Boolean]
    # @return [void]
    def stop(drain: false)
      @native&.stop(drain)
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
      return true unless @pool
      return false unless @native.join(timeout)

      Running.remove(self)
      @hooks&.join(exit_status.zero? ? HOOK_GRACE : FORCED_GRACE)
      @hijacked.cut
      @answerer&.finish
      @stuck = !@pool.finish(exit_status.zero? ? GRACE : FORCED_GRACE)
      true
    end

    # Whether the server has stopped while the app held on to a worker, which was then killed.
    #
    # @return [Boolean]
    def stuck? = @stuck == true

    # The port of the first TCP address.
    #
    # @return [Integer, nil]
    def port = addresses.find { |address| address.start_with?("tcp://") }&.slice(/\d+\z/)&.to_i

    # The address that answers the probes.
    #
    # @return [String, nil]
    def admin_address = @native&.admin_address

    # 0, or 1 when a request was cut off. Known after #join.
    #
    # @return [Integer]
    def exit_status = @native.exit_status

    # Where the server is in its life.
    #
    # @return [Symbol] :booting, :ready, :draining, :closing, :forcing or :stopped
    def phase = @native ? @native.phase : :booting

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

    private

    def pool(max)
      hooks = %i[before_thread_start before_thread_exit].map { |name| Hooks.new(name, @configuration.public_send(name), @log) }
      WorkerPool.new(@native, min: @configuration.min_threads, max:, log: @log, hooks:, delivery: @delivery)
    end

    def listen(max_threads, signals)
      @addresses = @native.listen(max_threads, signals).freeze
      @log.hand_over(@native)
    rescue StandardError
      @pool.kill
      raise
    end

    def native
      settings = self.settings
      @plan = Native.plan(settings)
      native = Native::Server.new(@app, settings, log: @log.fileno, errors: @log.error_fileno, delivery: @delivery, hijacked: @hijacked,
                                                  env_template: { **RackEnv.template, "tidegate.draining" => method(:draining?) }.freeze)
      native.show_settings(Control::Settings.json(@configuration)) if @configuration.admin
      native
    end

    def settings = NativeSettings.of(@configuration, @surroundings)
  end
end
