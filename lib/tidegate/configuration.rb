# frozen_string_literal: true

# The configuration: what all sources say together, resolved once into a frozen value that nothing below it changes
# or looks past. Precedence: flag > environment variable > configuration file > default.

require_relative "configuration/table"
require_relative "configuration/layer"
require_relative "configuration/environment"
require_relative "configuration/files"
require_relative "configuration/addresses"

module Tidegate
  # What all sources say together, frozen. It is made with {Configuration.resolve} or {Configuration.embedded}, and read by the names of
  # its options (docs/options.md).
  class Configuration
    autoload :Markdown, "tidegate/configuration/markdown"

    # Resolves all sources.
    # @param flags [Layer] the flags of the command line
    # @param env [Hash{String => String}] the environment variables
    # @param defaults [Layer] the defaults of a caller such as Rails, which all other sources overrule
    # @return [Configuration]
    # @raise [ConfigurationError] for an option that does not exist, or a value that it cannot have
    def self.resolve(flags: Layer.new, env: {}, defaults: Layer.new)
      environment = Environment.new(env)
      said = [flags, environment.layer]
      setting = ->(name) { said.filter_map { |layer| layer[name] }.first }
      files = Files.new(setting[:config],
                        environment: setting[:environment]&.value || OPTIONS[:environment].default,
                        directory: setting[:directory]&.value || Dir.pwd, others: setting)
      layer = files.layer
      layers = [*said, layer, defaults]
      settle_mode(layers, layer)
      new(layers, warnings: [*environment.warnings, *files.warnings], state: state_directory(env))
    end

    # Where this user's programs keep what is the machine's own (the XDG base directories); nil where there is no such place.
    def self.state_directory(env)
      given = env["XDG_STATE_HOME"].to_s
      home = env["HOME"].to_s
      base = given.start_with?("/") ? given : (File.join(home, ".local/state") if home.start_with?("/"))
      base && File.join(base, "tidegate", "tls")
    end
    private_class_method :state_directory

    # Has the blocks evaluated that count with workers only, or without them only. Raises if one of them makes workers of none.
    def self.settle_mode(layers, file)
      workers = -> { layers.filter_map { |layer| layer[:workers] }.first }
      mode = ->(setting) { [nil, 0].include?(setting&.value) ? :single : :cluster }
      before = mode[workers.call]
      file.settle(before)
      return if mode[workers.call] == before

      raise ConfigurationError, "#{workers.call.origin}: workers cannot be set in a block that depends on it (#{before})"
    end
    private_class_method :settle_mode

    # Resolves the keywords of an embedded server, and nothing else: no files, no environment variables. The environment is
    # production unless it is given, so that no exception is shown to a client.
    # @param options [Hash{Symbol => Object}] options of the table by their names
    # @return [Configuration]
    # @raise [ConfigurationError] for an option that does not exist, or a value that it cannot have
    def self.embedded(options)
      keywords = Layer.new
      options.each { |name, value| keywords.set_named(name, value, "Tidegate::Server") }
      refuse_process_options(options)
      defaults = Layer.new
      defaults.set(OPTIONS[:environment], "production", "default")
      defaults.set(OPTIONS[:termination_log], "none", "default") # the process is not the server's own
      new([keywords, defaults]).tap do |configuration|
        next unless configuration.cluster?

        raise ConfigurationError, "workers cannot be set for a server within a process: the command `tidegate` forks workers"
      end
    end

    # What the command does with its process, and a server within another's does not.
    PROCESS_OPTIONS = %i[
      rackup config bind_to_activated_sockets preload_app puma_compat pidfile restart_file restart_command state_path state_permission
      redirect_stdout redirect_stderr redirect_append tag after_booted after_stopped before_restart
    ].freeze
    private_constant :PROCESS_OPTIONS

    def self.refuse_process_options(options)
      name = PROCESS_OPTIONS.find { |each| options[each] } or return

      raise ConfigurationError, "#{name} cannot be set for a server within a process: it is for the command `tidegate`"
    end
    private_class_method :refuse_process_options

    # The hooks that run only where there are workers.
    CLUSTER_HOOKS = %i[before_fork before_worker_fork after_worker_fork before_worker_boot before_worker_shutdown
                       after_worker_shutdown before_refork after_refork].freeze

    # What makes workers leave: nothing bounds a process that is alone.
    CLUSTER_OPTIONS = %i[max_requests max_memory refork_after].freeze
    private_constant :CLUSTER_OPTIONS

    # The bytes of a request body in memory, where there is no buffer_limit and no other limit is set.
    BODY_LIMIT_ALONE = 112 * 1024
    private_constant :BODY_LIMIT_ALONE

    # All options as a page of documentation.
    # @return [String] Markdown
    def self.to_markdown = Markdown.new(GROUPS).to_s

    OPTIONS.each_value do |option|
      define_method(option.name) { @values.fetch(option.name) } unless option.stands_for
    end

    # The addresses to listen on, as text.
    attr_reader :addresses

    # The same for a line of output: without keys.
    def shown_addresses = addresses.map { |address| TlsQuery.shown(address) }

    # Whether one of them is encrypted.
    def tls? = addresses.any? { |address| address.start_with?("ssl:") }

    # The app that a file has, in the place of the rackup file; nil without.
    attr_reader :app

    # The plugins of Puma that the sources name, and what these keep among Puma's options.
    # @api private
    attr_reader :plugins, :extras

    # Sentences for the log about what was given and does nothing.
    attr_reader :warnings

    # Sentences for the log about what was found out, as for `workers auto`.
    attr_reader :findings

    # +layers+ from strong to weak.
    def initialize(layers, warnings: [], state: nil)
      @settings = OPTIONS.each_key.to_h { |name| [name, layers.filter_map { |layer| layer[name] }.first] }
      @values = OPTIONS.to_h { |name, option| [name, @settings[name] ? @settings[name].value : option.default] }
      @app = layers.filter_map(&:app).first
      @plugins = layers.flat_map(&:plugins).freeze
      @extras = layers.reverse.map(&:extras).reduce({}, :merge).freeze
      addresses = Addresses.new(layers, state:)
      @addresses = addresses.to_a.freeze
      settle_plugins
      settle_threads(layers)
      settle_paths
      settle_workers
      settle_bodies
      settle_queue
      @warnings = [*warnings, *addresses.warnings, *cluster_warnings, *slice_warnings].freeze
      [self, @settings, @values].each(&:freeze)
    end

    # Where an option's value was given, in words; nil when it has its default.
    def origin(name) = @settings.fetch(name)&.origin

    # Without the values: some are secrets.
    def inspect = "#<#{self.class}>"

    # Whether workers are forked. Without any this process serves alone.
    def cluster? = workers.positive?

    # The same, with an admin listener at +address+.
    # @api private
    def with_admin(address)
      dup.tap { |copy| copy.send(:replace, admin: Address.parse(address)) }
    end

    # Whether no source says where to listen.
    def default_address? = %i[bind port host].none? { |name| origin(name) }

    # Whether clients may see the exceptions of the application.
    def development? = environment == "development"

    private

    def replace(**values)
      @values = { **@values, **values }.freeze
      freeze
    end

    # What plugins of Puma want to run with these hooks runs after the blocks of the files.
    def settle_plugins
      return if @plugins.empty?

      PumaCompat::EVENTS.each { |name| @values[name] = [*@values[name], -> { PumaCompat.events.fire(name) }].freeze }
    end

    # Makes the paths absolute that are used after the app may have changed the directory.
    def settle_paths
      directory = File.expand_path(directory() || ".")
      @values[:admin] = admin&.in(directory)
      %i[admin_token_file spool_directory state_path redirect_stdout redirect_stderr].each do |name|
        @values[name] = File.expand_path(@values[name], directory) if @values[name]
      end
    end

    # Makes a number of `workers auto`, and checks what depends on other options.
    def settle_workers
      auto = WorkerCount.auto if workers == :auto
      @findings = [*auto&.to_s].freeze
      @values[:workers] = auto.count if auto
      @values[:max_requests_jitter] ||= max_requests.to_i / 10
      return if worker_timeout.nil? || worker_timeout > worker_check_interval

      name, other = origin(:worker_timeout) ? %i[worker_timeout worker_check_interval] : %i[worker_check_interval worker_timeout]
      raise ConfigurationError, "#{origin(name)}: #{name} cannot be #{number(name)}: worker_timeout must be longer than " \
                                "worker_check_interval, and #{other} is #{number(other)}"
    end

    # What each process may keep of bodies. Where nothing bounds them together, each is bounded as before there was such a bound.
    def settle_bodies
      @values[:buffer_limit] = BufferLimit.auto([workers, 1].max) if buffer_limit == :auto
      @values[:body_memory_limit] = BODY_LIMIT_ALONE unless buffer_limit || origin(:body_memory_limit)
    end

    # As many may come at once as there may be threads, and wait while these are started.
    def settle_queue
      @values[:max_queue] = [max_queue, max_threads.to_i].max unless origin(:max_queue)
    end

    def number(name) = format("%g", @values[name])

    # What is set for workers where there are none, in a line for hooks and one for the rest; or that there is only one.
    def cluster_warnings
      return lonely_worker if cluster?

      hooks = silence_fork_callback_warning ? [] : CLUSTER_HOOKS.reject { |name| @values[name].empty? }
      [hooks, CLUSTER_OPTIONS.select { |name| origin(name) }].reject(&:empty?).map { |names| without_workers(names) }
    end

    def without_workers(names)
      list = [names[..-2].join(", "), names.last].reject(&:empty?).join(" and ")
      "#{origin(names.first)}: #{list} #{names.one? ? "does" : "do"} nothing here: there are no workers"
    end

    def lonely_worker
      return [] unless workers == 1 && @findings.empty? && !silence_single_worker_warning

      ["#{origin(:workers)}: one worker serves as workers 0 would, and takes a second process for it"]
    end

    # Before Ruby 3.3 no thread can be asked from outside to let go of the GVL.
    def slice_warnings
      return [] if origin(:time_slice).nil? || time_slice.zero? || (RUBY_VERSION.split(".").map(&:to_i) <=> [3, 3]) >= 0

      ["#{origin(:time_slice)}: time_slice does nothing on Ruby #{RUBY_VERSION}: before 3.3 Ruby's own 100 ms remain"]
    end

    # A weaker source's least number of threads gives way to a stronger one's most, and the other way round; in one
    # and the same source they contradict each other.
    def settle_threads(layers)
      return unless max_threads && min_threads > max_threads

      names = %i[min_threads max_threads]
      given = names & layers.map { |layer| names.select { |name| layer.key?(name) } }.find(&:any?)
      if given == names
        reason = "it must not be above max_threads, which is #{max_threads}"
        raise ConfigurationError, "#{origin(:min_threads)}: min_threads cannot be #{min_threads}: #{reason}"
      end

      @values[(names - given).first] = @values[given.first]
    end
  end
end
