# frozen_string_literal: true

# What a plugin of Puma's gets when the server starts, in the place of Puma::Launcher: the options by Puma's names, events, the log, and
# what stops or restarts the process.

module Tidegate
  module PumaCompat
    # The resolved configuration, as PumaOptions reads a Layer.
    Settings = Data.define(:configuration) do
      def [](name)
        value = name == :bind ? configuration.addresses : value(name)
        value.nil? ? nil : Configuration::Setting.new(value, configuration.origin(name) || "default")
      end

      private

      def value(name)
        option = Configuration::OPTIONS[name]
        return AdminToken.of(configuration) if name == :admin_token

        configuration.public_send(name) if option && !option.stands_for
      end
    end

    class Launcher
      attr_reader :options, :log_writer, :restart_dir

      def initialize(configuration, server, log)
        @options = PumaOptions.new(nil, Settings.new(configuration), more: configuration.extras.dup)
        @server = server
        @log_writer = LogWriter.new(log)
        @restart_dir = Dir.pwd
      end

      # What Puma.cli_config is too.
      def config = self

      def events = PumaCompat.events

      def environment = options[:environment]

      def stats = PumaCompat.stats

      # Where /stats is asked.
      def admin_address = @server.admin_address || options[:control_url]

      # The ports of the addresses.
      def connected_ports = @server.sockets.filter_map { |address, *| address[/:(\d+)(?:\?|\z)/, 1]&.to_i }

      { stop: :INT, halt: :QUIT, restart: :USR2, phased_restart: :USR1 }.each do |name, signal|
        define_method(name) { Process.kill(signal, Process.pid) }
      end
    end

    # Puma's way of printing a line.
    class LogWriter
      attr_reader :stdout, :stderr

      def initialize(log)
        @log = log
        @stdout = $stdout
        @stderr = $stderr
      end

      def log(text) = @log.info(text.to_s)
      alias write log

      def error(text) = @log.error(text.to_s)

      def unknown_error(error, _request = nil, text = "Unknown error")
        @log.report(error, event: "plugin_error") { |summary| "#{text}: #{summary}" }
      end

      def debug? = false

      def debug(*) = nil
    end
  end
end
