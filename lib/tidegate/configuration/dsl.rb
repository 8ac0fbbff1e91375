# frozen_string_literal: true

# The language of the configuration file: one method for each option, under Puma's names where Puma has the option.
#
#   # config/tidegate.rb
#   threads 0, 16
#   port ENV.fetch("PORT", 3000)
#   drain_delay 5

module Tidegate
  class DSL
    # Evaluates the file at +path+ into +layer+, and returns sentences about what in it does nothing. Whatever goes wrong
    # is a ConfigurationError that names the line.
    def self.load(path, layer)
      new(path, layer).tap { |dsl| dsl.instance_eval(File.read(path), path) }.warnings
    rescue SystemCallError => error
      raise ConfigurationError, "the configuration file #{Fault.relative(path)} cannot be read: #{Fault.reason(error)}"
    rescue ConfigurationError
      raise
    rescue ScriptError, StandardError => error
      raise ConfigurationError, "the configuration file #{Fault.relative(path)} failed: #{Fault.describe(error, path)}"
    end

    def initialize(path, layer)
      @path = path
      @layer = layer
    end

    # Everything in our own language does something.
    def warnings = []

    # As in Puma, the port may bring its host with it.
    def port(number, host = nil)
      set(Configuration::OPTIONS[:port], [number])
      set(Configuration::OPTIONS[:host], [host]) if host
    end

    Configuration::OPTIONS.each_value do |option|
      next if option.file.nil? || method_defined?(option.file, false)

      define_method(option.file) { |*values, &block| set(option, block ? [*values, block] : values) }
    end

    # The names that Puma's hooks had before version 7.
    { on_booted: :after_booted, on_stopped: :after_stopped, on_thread_start: :before_thread_start,
      on_thread_exit: :before_thread_exit }.each { |old, name| alias_method old, name }

    private

    def set(option, values)
      values = [true] if values.empty? && option.switch?
      raise ConfigurationError, "#{here}: #{option.name} needs a value" if values.empty?

      @layer.set(option, values.size == 1 ? values.first : values, here)
    end

    # "config/tidegate.rb:3", the line of the file that is being evaluated.
    def here
      line = caller_locations.find { |each| each.path == @path }&.lineno
      [Fault.relative(@path), line].compact.join(":")
    end

    # An option that does not exist; the only reason for this method is to say which one was meant.
    def method_missing(name, *)
      hint = Nearest.hint(name, names)
      raise ConfigurationError, "#{here}: unknown option #{name}: #{hint}"
    end

    # What can be called in the file.
    def names
      own = self.class.ancestors.take_while { |each| each <= DSL }
      own.flat_map { |each| each.public_instance_methods(false) } - [:warnings]
    end

    def respond_to_missing?(*) = false
  end
end
