# frozen_string_literal: true

# The language of the configuration file: one method for each option, under Puma's names where Puma has the option.
#
#   # config/tidegate.rb
#   threads 0, 16
#   port ENV.fetch("PORT", 3000)
#   drain_delay 5

require_relative "tls_bind"

module Tidegate
  # What `self` is in config/tidegate.rb: each option and each hook is a method, with the argument that docs/options.md and
  # docs/hooks.md name.
  class DSL
    # A word that is no option. A file that has one of Puma's is read again in Puma's language.
    class UnknownWord < ConfigurationError
      # The word, and the line "config/tidegate.rb:3" that has it.
      attr_reader :word, :place

      def initialize(word, place, hint)
        @word = word
        @place = place
        super("#{place}: unknown option #{word}: #{hint}")
      end
    end

    # The hooks that take a key, and then get the Hash that belongs to it.
    KEYED = %i[before_worker_boot before_worker_shutdown before_refork after_refork].freeze

    # Evaluates the file at +path+ into +layer+, and returns sentences about what in it does nothing. Whatever goes wrong
    # is a ConfigurationError that names the line.
    def self.load(path, layer)
      new(path, layer).tap { |dsl| dsl.evaluate { dsl.instance_eval(File.read(path), path) } }.warnings
    end

    # Runs the block, which evaluates the file or a part of it.
    # @api private
    def evaluate
      yield
    rescue SystemCallError => error
      raise ConfigurationError, "the configuration file #{Fault.relative(@path)} cannot be read: #{Fault.reason(error)}"
    rescue ConfigurationError
      raise
    rescue ScriptError, StandardError => error
      raise ConfigurationError, "the configuration file #{Fault.relative(@path)} failed: #{Fault.describe(error, @path)}"
    end

    def initialize(path, layer)
      @path = path
      @layer = layer
      @hook_data = Hash.new { |data, key| data[key] = {} }
    end

    # Everything in our own language does something.
    def warnings = []

    # As in Puma, the port may bring its host with it.
    def port(number, host = nil)
      set(Configuration::OPTIONS[:port], [number])
      set(Configuration::OPTIONS[:host], [host]) if host
    end

    # An encrypted address, as in Puma. In development the options may be left out.
    def ssl_bind(host, port, options = {}) = bind(Configuration::TlsBind.address(host, port, options))

    # What is set in the block counts without workers only. As in Puma, it is evaluated when all files are.
    def single(&block) = later(:single, block)

    # What is set in the block counts with workers only.
    def cluster(&block) = later(:cluster, block)

    # Puma's name for `preload_app`.
    def preload_app!(wanted = true) = preload_app(wanted)

    # Puma's name for `redirect_stdout`, `redirect_stderr` and `redirect_append`.
    def stdout_redirect(stdout = nil, stderr = nil, append = false)
      redirect_stdout(stdout) if stdout
      redirect_stderr(stderr) if stderr
      redirect_append(append)
    end

    # As in Puma: true without a value, and `on_force: true`.
    def shutdown_debug(value = true) = set(Configuration::OPTIONS[:shutdown_debug], [value])

    KEYED.each do |name|
      option = Configuration::OPTIONS[name]
      define_method(name) do |*values, &block|
        key = values.shift if block && [Symbol, String].any? { |kind| values.first.is_a?(kind) }
        block = KeyedHook.new(block, @hook_data[key.to_sym]) if key
        set(option, [*values, *block])
      end
    end

    Configuration::OPTIONS.each_value do |option|
      next if option.file.nil? || method_defined?(option.file, false)

      define_method(option.file) { |*values, &block| set(option, block ? [*values, block] : values) }
    end

    # Other names of Puma's hooks: the old ones, and one that is an alias there too.
    { on_booted: :after_booted, on_stopped: :after_stopped, on_thread_start: :before_thread_start,
      on_thread_exit: :before_thread_exit, on_restart: :before_restart, on_worker_boot: :before_worker_boot,
      on_worker_shutdown: :before_worker_shutdown, on_worker_fork: :before_worker_fork, on_refork: :before_refork,
      after_worker_boot: :after_worker_fork }.each { |old, name| alias_method old, name }

    private

    def later(mode, block)
      raise ConfigurationError, "#{here}: #{mode} needs a block" unless block

      @layer.defer(mode) { evaluate { instance_eval(&block) } }
    end

    def set(option, values)
      values = [true] if values.empty? && option.switch?
      raise ConfigurationError, "#{here}: #{option.name} needs a value" if values.empty?

      @layer.set(option, values.size == 1 ? values.first : values, here)
    end

    # "config/tidegate.rb:3", the line of the file that is being evaluated.
    def here
      [Fault.relative(@path), line].compact.join(":")
    end

    # Whether a line of the file is being evaluated, and not something that it has called.
    def here? = caller_locations.find { |each| !each.path.start_with?(Fault::OURS) }&.path == @path

    def line = caller_locations.find { |each| each.path == @path }&.lineno

    # An option that does not exist; the only reason for this method is to say which one was meant.
    def method_missing(name, *)
      raise UnknownWord.new(name, here, Nearest.hint(name, names))
    end

    # What can be called in the file.
    def names
      own = self.class.ancestors.take_while { |each| each <= DSL }
      own.flat_map { |each| each.public_instance_methods(false) } - %i[warnings evaluate loads offer_plugins assign require]
    end

    def respond_to_missing?(*) = false
  end
end
