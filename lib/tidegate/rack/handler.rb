# frozen_string_literal: true

# What `rackup -s tidegate` and `rails server -u tidegate` call: it gives their options Tidegate's names and runs the launcher.

module Tidegate
  # What rackup's and Rack's handlers of the name `tidegate` share.
  module RackHandler
    # Their names for Tidegate's options. `config` is the rackup file, which they have loaded already.
    NAMES = { Host: :host, Port: :port, Threads: :threads, Silent: :silent, Verbose: :log_requests, config: :rackup }.freeze

    # Tidegate's options that are set in another way under rackup.
    ELSEWHERE = %i[host port rackup config environment directory].freeze

    # Options that they pass to every server and handle themselves.
    THEIRS = %i[
      AccessLog DoNotReverseLookup Logger SSLEnable StartCallback app builder caching daemonize early_hints eval heapfile
      include log_stdout pid profile_file profile_mode require restart_cmd server using warn
    ].freeze

    # Serves +app+ until a signal ends the server, and exits with a status that is not 0.
    # @param app [#call] the Rack app
    # @param options [Hash, nil] the options, by their names or Tidegate's
    # @yieldparam server [Server] before it starts
    # @return [void]
    def run(app, options = nil, **keywords, &block)
      status = launch(app, { **options.to_h, **keywords }, &block)
      exit(status) unless status.zero?
    end

    # The options that `rackup -O` takes, with their meaning.
    # @return [Hash{String => String}]
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

    # Two Layers: the options that the user has set, and the defaults of rackup or Rails, which give way to a configuration file
    # and to the environment.
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

    # Whether the user has set an option. Rails lists these. Rackup does not, but its defaults are known: a port from its command
    # line is text, its default is the number. The environment always counts, because the app was loaded in it.
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
