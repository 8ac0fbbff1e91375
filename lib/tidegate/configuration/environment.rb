# frozen_string_literal: true

# What the environment variables say: TIDEGATE_<OPTION> for every option, and the variables of other tools that
# people already set for the same thing.

require_relative "layer"

module Tidegate
  class Configuration
    class Environment
      PREFIX = "TIDEGATE_"

      # Kubernetes (and Docker links) put such variables into every container beside a service that is named
      # tidegate or tidegate-something: TIDEGATE_SERVICE_HOST, TIDEGATE_PORT_80_TCP, TIDEGATE_PORT=tcp://10.0.0.7:80.
      SERVICE_LINK = /(?:\A|_)(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)\z/
      SERVICE_ADDRESS = %r{\A(?:tcp|udp|sctp)://}

      # Variables of Puma's that change nothing here, and why.
      PUMA = {
        "PUMA_DEBUG" => "debug shows the backtrace when the app cannot be loaded",
        "PUMA_LOG_CONFIG" => "`tidegate --check` and `tidegate ctl settings` show the configuration",
        "PUMA_SKIP_SYSTEMD" => "systemd is told of the state where it asks for that (Type=notify)",
        "PUMA_SKIP_SIGUSR2" => "USR2 always restarts"
      }.freeze

      # Sentences about variables that look like ours and do nothing.
      attr_reader :warnings

      # +env+ is ENV, or any Hash.
      def initialize(env)
        @env = env.to_h.reject { |_, value| value.strip.empty? }
        @layer = Layer.new(ambient: true)
        @warnings = []
      end

      # Reads the variables into a Layer. What is meant for us alone is read last and so replaces what is meant for
      # several tools.
      def layer
        OPTIONS.each_value do |option|
          option.usual.reverse_each { |name| set(option, name) }
        end
        OPTIONS.each_value { |option| set(option, option.env) if option.env }
        unknown.each { |name| complain(name) }
        PUMA.each { |name, reason| @warnings << "the environment variable #{name} does nothing here: #{reason}" if @env.key?(name) }
        @layer
      end

      private

      def set(option, name)
        value = @env[name]
        @layer.set_text(option, value, "environment variable #{name}") if value && !service_link?(name)
      end

      def unknown
        @env.keys.select { |name| name.start_with?(PREFIX) && !names.include?(name) && !service_link?(name) }
      end

      def names = @names ||= [InheritedSockets::VARIABLE, Image::TRIAL, Image::LEGACY, *OPTIONS.each_value.filter_map(&:env)]

      def service_link?(name)
        return false unless name.start_with?(PREFIX)

        rest = name.delete_prefix(PREFIX)
        rest.match?(SERVICE_LINK) || (rest.match?(/(?:\A|_)PORT\z/) && @env[name].match?(SERVICE_ADDRESS))
      end

      # A typing error must not go unnoticed; a variable that resembles no option is probably another program's.
      def complain(name)
        nearest = Nearest.to(name.delete_prefix(PREFIX), OPTIONS.each_key.map { |each| each.to_s.upcase })
        raise ConfigurationError, "unknown environment variable #{name}: did you mean #{PREFIX}#{nearest}?" if nearest

        @warnings << "the environment variable #{name} is not an option and changes nothing"
      end
    end
  end
end
