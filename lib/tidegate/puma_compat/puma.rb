# frozen_string_literal: true

# The module that is Puma for gems: its names, as far as plugins, exporters and configuration files use them.

module Tidegate
  module PumaCompat
    module Puma
      # The release of which these are the names.
      module Const
        VERSION = PUMA_VERSION = "8.0.2"
        CODE_NAME = "Tidegate"
        PUMA_SERVER_STRING = "puma #{VERSION} (#{CODE_NAME} #{Tidegate::VERSION})".freeze
        UNSPECIFIED_IPV4 = "0.0.0.0"
        UNSPECIFIED_IPV6 = "::"
        SUPPORTED_HTTP_METHODS = %w[HEAD GET POST PUT DELETE OPTIONS TRACE PATCH].freeze
        IANA_HTTP_METHODS = %w[
          ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL
          MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PRI PROPFIND PROPPATCH PUT REBIND REPORT SEARCH TRACE UNBIND
          UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL
        ].freeze
      end

      # The language of config/puma.rb; plugins add methods to it.
      DSL = PumaDSL
      Events = PumaCompat::Events

      class UnknownPlugin < RuntimeError; end

      # The classes of plugins, by their names.
      class PluginRegistry
        def initialize
          @plugins = {}
          @background = []
        end

        def register(name, plugin) = @plugins[name] = plugin

        # Loads puma/plugin/NAME, unless it is loaded.
        def find(name)
          name = name.to_s
          return @plugins[name] if @plugins.key?(name)

          require "puma/plugin/#{name}"
          @plugins.fetch(name) { raise UnknownPlugin, "puma/plugin/#{name} registers no plugin" }
        end

        def add_background(block) = @background << block

        def fire_background
          @background.each_with_index { |block, index| Thread.new(&block).name = "plgn bg #{index}" }
          @background.clear
        end
      end

      Plugins = PluginRegistry.new

      # A plugin: a class that the block of Plugin.create is the body of, named after its file.
      class Plugin
        def self.create(&)
          name = caller_locations(1, 1).first.path[%r{puma/plugin/([^/]+)\.rb\z}, 1] or
            raise UnknownPlugin, "a plugin is created in a file puma/plugin/NAME.rb"
          Plugins.register(name, Class.new(self, &))
        end

        def in_background(&block) = Plugins.add_background(block)
      end

      # The server of this process, for what asks Puma::Server.current.
      class Server
        # nil while none runs.
        def self.current = Running.servers.any? ? new : nil

        def stats = PumaCompat.stats

        NOTHING.each_key { |name| define_method(name) { PumaCompat.stats.fetch(name, 0) } }
      end

      class << self
        # As JSON.
        def stats = JSON.generate(PumaCompat.stats)

        def stats_hash = PumaCompat.stats

        # It has `options`. nil before the server starts.
        def cli_config = @cli_config || PumaCompat.launcher

        # As the launcher of Puma sets it; there is nothing to change here.
        attr_writer :cli_config

        def set_thread_name(name) = Thread.current.name = "puma #{name}" # rubocop:disable Naming/AccessorMethodName

        def ssl? = true
        def jruby? = RUBY_ENGINE == "jruby"
        def mri? = RUBY_ENGINE == "ruby"
        def windows? = Gem.win_platform?
        def forkable? = Process.respond_to?(:fork)
      end
    end
  end
end
