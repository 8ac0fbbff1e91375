# frozen_string_literal: true

# The server that a command is for: where its admin listener is, and its process. Found as Puma's pumactl finds it: by what was
# given, or else by the configuration that the server itself would read here.

module Tidegate
  module Control
    # +url+ and +token+ of the admin listener, +pid+ of the process, each nil where it is not known. +source+ is what the pid was
    # found in, nil for one that was typed.
    Target = Data.define(:url, :token, :pid, :source) do
      def initialize(url: nil, token: nil, pid: nil, source: nil) = super

      # +given+ has what was typed: :state, :pidfile, :pid, :url, :token, :config, :environment. Raises a Failure.
      def self.find(given, env)
        token = given[:token]
        if given[:state] then of_state(given)
        elsif given[:url] then new(url: given[:url], token: token || token_of(settings({ config: "-" }, env)))
        elsif given[:pid] then new(pid: given[:pid])
        elsif given[:pidfile] then new(pid: pid_in(given[:pidfile]), source: given[:pidfile])
        else of_configuration(given, env)
        end
      end

      # A file that the server writes with its pid, control_url and control_auth_token.
      def self.of_state(given)
        path = given[:state]
        state = parse(path)
        pid = state["pid"]
        raise Failure, "#{path} is no state file: it has no pid" unless pid.is_a?(Integer) && pid.positive?

        new(url: given[:url] || none(state["control_url"]), token: given[:token] || none(state["control_auth_token"]), pid:, source: path)
      end

      def self.parse(path)
        require "yaml"
        state = YAML.safe_load_file(path)
        state.is_a?(Hash) ? state : raise(Failure, "#{path} is no state file")
      rescue Errno::ENOENT
        raise Failure, "there is no state file #{path}: no server runs with it"
      rescue SystemCallError => error
        raise Failure, "the state file #{path} cannot be read: #{Fault.reason(error)}"
      rescue Psych::Exception
        raise Failure, "#{path} is no state file: it is not YAML"
      end

      def self.pid_in(path)
        Integer(File.read(path, 32).to_s.strip, 10).tap { |pid| raise ArgumentError unless pid.positive? }
      rescue Errno::ENOENT
        raise Failure, "there is no pidfile #{path}: no server runs with it"
      rescue SystemCallError => error
        raise Failure, "the pidfile #{path} cannot be read: #{Fault.reason(error)}"
      rescue ArgumentError
        raise Failure, "#{path} is no pidfile: there is no number in it"
      end

      # The state file is the surest, since it has the port that a server took and not the one that it was told.
      def self.of_configuration(given, env)
        settings = settings(given, env)
        state = settings.state_path if settings.respond_to?(:state_path)
        return of_state(given.merge(state:)) if state && File.exist?(state)
        return new(url: settings.admin.to_s, token: given[:token] || token_of(settings)) if settings.admin
        return new(pid: pid_in(settings.pidfile), source: settings.pidfile) if settings.pidfile

        raise Failure, "which server? Its configuration here has neither admin nor pidfile: give -C URL, -S STATE, -P PIDFILE or -p PID"
      end

      def self.settings(given, env)
        flags = Configuration::Layer.new
        { config: :config, environment: :environment }.each do |key, name|
          flags.set(Configuration::OPTIONS[name], given[key], "the command line") if given[key]
        end
        Configuration.resolve(flags:, env:)
      end

      def self.token_of(settings) = AdminToken.of(settings)

      # Puma writes "none" where there is none.
      def self.none(value) = (value.to_s unless [nil, "", "none"].include?(value))

      private_class_method :of_state, :parse, :of_configuration, :settings, :token_of, :none
    end
  end
end
