# frozen_string_literal: true

# What `rackup -s tidegate` and `rails server -u tidegate` call: their options in our words, and the launcher.

module Tidegate
  module RackHandler
    # Their names for our options. `config` is the rackup file, which they have loaded already.
    NAMES = { Host: :host, Port: :port, Threads: :threads, Silent: :silent, Verbose: :log_requests, config: :rackup }.freeze

    # Options of ours that are set in another way under rackup.
    ELSEWHERE = %i[host port rackup config environment directory].freeze

    # What they pass to every server, and deal with themselves.
    THEIRS = %i[
      AccessLog DoNotReverseLookup Logger SSLEnable StartCallback app builder caching daemonize early_hints eval heapfile
      include log_stdout pid profile_file profile_mode require restart_cmd server using warn
    ].freeze

    # Serves +app+ until a signal ends it; yields the Tidegate::Server before it starts.
    def run(app, options = nil, **keywords, &block)
      status = launch(app, { **options.to_h, **keywords }, &block)
      exit(status) unless status.zero?
    end

    # The options that `rackup -O` takes, with what they mean.
    def valid_options
      own = Configuration::OPTIONS.values.reject { |option| option.code || option.secret || ELSEWHERE.include?(option.name) }
      { "Host=HOST" => "host to listen on", "Port=PORT" => "port to listen on" }.merge(
        own.to_h { |option| [[option.name, option.type.placeholder].compact.join("="), option.text] }
      )
    end

    private

    def launch(app, options, &block)
      flags, defaults = layers(options)
      Launcher.new(flags:, defaults:, app:, **options.slice(:restart_cmd).compact.transform_keys { :command }).run(&block)
    rescue ConfigurationError => error
      Log.new.error(error.message)
      1
    end

    # The two Layers that the options are: what somebody asked for, and what rackup or Rails would use otherwise, to
    # which a configuration file or the environment is preferred.
    def layers(options)
      supplied = options.delete(:user_supplied_options)
      layers = [Configuration::Layer.new, Configuration::Layer.new]
      options.each do |key, value|
        next if THEIRS.include?(key) || value.nil?

        layer = asked_for?(key, options, supplied) ? layers.first : layers.last
        layer.set_named(NAMES.fetch(key, key), value, "option #{key}", from_text: true)
      end
      layers
    end

    # Rails lists what its user has set. Rackup does not, but fills in certain values: a port from its command line
    # is text, its own is this number. The environment is a fact, since the app was loaded in it.
    def asked_for?(key, options, supplied)
      return true if key == :environment
      return supplied.include?(key) if supplied

      case key
      when :Port then options[:Port] != 9292
      when :Host then options[:Host] != (options[:environment] == "development" ? "localhost" : "0.0.0.0")
      else key != :config
      end
    end
  end
end
