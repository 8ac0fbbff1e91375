# frozen_string_literal: true

# The app of a rackup file. The server gets this object instead of the app, because it binds its addresses before the app is
# loaded, which may take seconds. It is called only when #load has returned.

module Tidegate
  class AppLoader
    # +path+ is that of the rackup file; a configuration file may have the +app+ itself.
    def initialize(path, app: nil, log: Log.new)
      @path = File.expand_path(path)
      @app = app
      @log = log
    end

    # Evaluates the file. Every error is an AppLoadError that names the line.
    def load
      return self if @app
      raise AppLoadError, "there is no rackup file #{name}: give its path, or start where it is" unless File.file?(@path)

      @app = build
      return self if @app.respond_to?(:call)

      raise AppLoadError, "#{name} makes no Rack app: #{@app.class} has no method call"
    end

    # Calls the app.
    def call(env) = @app.call(env)

    private

    # Rack 2 returns the app with the options of the file's first line; Rack 3 the app alone.
    def build
      require "rack"
      app, = Rack::Builder.parse_file(@path)
      app
    rescue ScriptError, StandardError, SystemStackError => error
      exhausted = exhausted()
      # Where the app was when there was no descriptor left says nothing.
      sentence = "#{name} cannot be loaded: #{exhausted || Fault.describe(error, @path)}#{encoding_hint(error)}"
      raise AppLoadError, sentence, cause: exhausted ? nil : error
    rescue Signals::Stopped
      raise
    rescue SystemExit => error
      @log.error("#{name} has ended this process, with exit status #{error.status}#{place(error)}")
      raise
    end

    # Where the app has called exit or abort.
    def place(error) = error.backtrace&.find { |level| !level.include?(":in `exit'") }&.then { |level| ": #{level[/\A.*?:\d+/]}" }

    # Ruby reads files in the encoding of the environment, and in a container without LANG that is ASCII.
    def encoding_hint(error)
      return unless Encoding.default_external == Encoding::US_ASCII && error.message.include?("US-ASCII")

      "; LANG=C.UTF-8 in the environment has Ruby read files as UTF-8"
    rescue StandardError
      nil # a message may be anything
    end

    # Says so if no more files can be opened: then Ruby raises that the file is not there.
    def exhausted
      Array.new(3) { File.open(__FILE__) }.each(&:close)
      nil
    rescue Errno::EMFILE, Errno::ENFILE
      "too many open files: raise the limit of file descriptors (ulimit -n, LimitNOFILE=)"
    end

    def name = Fault.relative(@path)
  end
end
