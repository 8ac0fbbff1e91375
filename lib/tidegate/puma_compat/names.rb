# frozen_string_literal: true

# Stands in for Puma: defines the constant Puma for gems that ask Puma.stats or are plugins of it, loads such plugins and runs them. Only
# where there is no Puma.

require "json"

module Tidegate
  module PumaCompat
    autoload :Events, "tidegate/puma_compat/events"
    autoload :Launcher, "tidegate/puma_compat/launcher"
    autoload :LogWriter, "tidegate/puma_compat/launcher"
    autoload :Puma, "tidegate/puma_compat/puma"
    autoload :Settings, "tidegate/puma_compat/launcher"

    # What `require "puma/plugin"` finds.
    LOAD_PATH = File.expand_path("load_path", __dir__).freeze

    # The moments for which plugins register blocks.
    EVENTS = %i[after_booted after_stopped before_restart].freeze

    # Seconds for the admin listener to answer.
    PATIENCE = 2

    # Puma's figures before there are any.
    NOTHING = { backlog: 0, running: 0, pool_capacity: 0, busy_threads: 0, max_threads: 0, requests_count: 0 }.freeze

    class << self
      # The launcher that plugins have got; nil before the server starts.
      attr_reader :launcher

      # Defines Puma, unless something else is it. Returns whether this module is Puma now. What requires a part of Puma gets ours from
      # then on, also where the gem is there because another one depends on it.
      def install
        return false if obstacle

        unless installed?
          Object.const_set(:Puma, self::Puma)
          $LOAD_PATH.unshift(LOAD_PATH)
        end
        true
      end

      # Why Puma cannot be defined, in words; nil if it can, or is.
      def obstacle
        return if installed?
        return "Puma is loaded" if Object.const_defined?(:Puma)

        "the gem puma is in the Gemfile, which loads it: take it out" if in_gemfile?
      end

      def installed? = Object.const_defined?(:Puma) && Object.const_get(:Puma).equal?(self::Puma)

      # A new plugin of that name. Yields the reason where there is none.
      def plugin(name)
        return yield("no gem here has puma/plugin/#{name}") unless there?("puma/plugin/#{name}")
        return yield(obstacle) unless install

        self::Puma::Plugins.find(name).new
      rescue LoadError, self::Puma::UnknownPlugin => error
        yield "it cannot be loaded: #{Printable.line(error.message)}"
      end

      # Whether Bundler is going to load the gem, and not only others that depend on it.
      def in_gemfile?
        Gem.loaded_specs.key?("puma") && defined?(::Bundler) && ::Bundler.definition.dependencies.any? { |each| each.name == "puma" }
      rescue ::Bundler::BundlerError
        false
      end

      # Whether that can be required.
      def there?(path)
        !$LOAD_PATH.resolve_feature_path(path).nil? || Gem.find_files("#{path}.rb").any?
      end

      # Has the plugins begin, as the process that serves, or leads the workers. Raises a ConfigurationError for one that cannot.
      def start(configuration, server, log)
        @launcher = Launcher.new(configuration, server, log)
        configuration.plugins.each do |plugin|
          plugin.start(@launcher) if plugin.respond_to?(:start)
        rescue StandardError => error
          raise ConfigurationError, "a plugin of Puma's cannot start: #{error.message} (#{error.class}) at #{error.backtrace&.first}"
        end
      end

      # Runs what plugins do in the background, each in a thread of its own.
      def run_background = self::Puma::Plugins.fire_background

      # The blocks that plugins have registered.
      def events = @events ||= Events.new

      # Puma's figures, as the admin listener has them.
      def stats
        url = @launcher&.admin_address or return NOTHING
        stats = JSON.parse(Control::Client.new(url).get("/stats", timeout: PATIENCE), symbolize_names: true)
        stats.merge(versions: { puma: self::Puma::Const::VERSION, **stats[:versions].to_h })
      rescue Control::Failure, JSON::ParserError
        NOTHING
      end
    end
  end
end
