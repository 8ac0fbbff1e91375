# frozen_string_literal: true

# What one source says - the flags, the environment, the files - as it was given: checked value by value, and each
# remembered with its origin. Configuration resolves several of these into one value.

require_relative "table"

module Tidegate
  class Configuration
    # A value, and where it was given in words for an error: "--port", "config/tidegate.rb:3".
    Setting = Data.define(:value, :origin)

    class Layer
      # +ambient+ is for the environment variables, which other programs may be meant by as well.
      def initialize(ambient: false)
        @ambient = ambient
        @settings = {}
        @deferred = Hash.new { |blocks, mode| blocks[mode] = [] }
        @plugins = []
        @extras = {}
      end

      # The app that a file has, in the place of the rackup file; nil without.
      attr_accessor :app

      # What a file for Puma has beside options: its plugins, and what those keep among Puma's options.
      attr_reader :plugins, :extras

      def ambient? = @ambient

      # Keeps the block until it is known whether there are workers.
      def defer(mode, &block) = @deferred[mode] << block

      # Runs the blocks that were kept for +mode+, :single or :cluster, which set further options.
      def settle(mode) = @deferred[mode].each(&:call)

      # The Setting of an option, or nil.
      def [](name) = @settings[name]

      def key?(name) = @settings.key?(name)

      # Forgets what was said of an option.
      def delete(name) = @settings.delete(name)

      # Sets an option from a Ruby value. What may be repeated is added to what is there, the rest replaced.
      def set(option, given, origin)
        value = option.many ? Array(given).map { |each| read(option, each, origin) } : read(option, given, origin)
        return option.stands_for.call(value).each { |name, part| store(name, part, origin) } if option.stands_for

        store(option.name, option.many ? (self[option.name]&.value || []) + value : value, origin)
      end

      # Sets an option from text, as the user typed it: a list is separated by commas.
      def set_text(option, text, origin)
        set(option, option.many && text.is_a?(String) ? text.split(",").map(&:strip) : text, origin)
      end

      # Sets an option by the name that the user gave. Raises a ConfigurationError where there is no such option.
      def set_named(name, given, origin, from_text: false)
        option = OPTIONS[name.to_sym] or
          raise ConfigurationError, "unknown option #{name}: #{Nearest.hint(name, OPTIONS.keys)}"
        from_text ? set_text(option, given, origin) : set(option, given, origin)
      end

      private

      # A copy can take more without the first one knowing.
      def initialize_copy(other)
        super
        @settings = @settings.dup
        @deferred = @deferred.transform_values(&:dup).tap { |copy| copy.default_proc = ->(blocks, mode) { blocks[mode] = [] } }
        @plugins = @plugins.dup
        @extras = @extras.dup
      end

      # Keys may be written in an address.
      def shown(given) = given.is_a?(String) ? TlsQuery.shown(given).inspect : given.inspect

      # An object of the app's own, such as its logger, is not frozen.
      def store(name, value, origin)
        value.freeze unless OPTIONS[name].code && !value.is_a?(Array)
        @settings[name] = Setting.new(value, origin)
      end

      def read(option, given, origin)
        option.type.read(given) do |reason|
          raise ConfigurationError, "#{origin}: #{option.name} cannot be #{option.secret ? "what it is" : shown(given)}: #{reason}"
        end
      end
    end
  end
end
