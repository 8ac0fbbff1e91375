# frozen_string_literal: true

# The app of a rackup file. It stands in for the app from the start, because the server takes its addresses before
# it spends seconds on loading; nothing is called before #load has returned.

module Tidegate
  class AppLoader
    # +path+ of the rackup file.
    def initialize(path)
      @path = File.expand_path(path)
    end

    # Evaluates the file. Whatever goes wrong is an AppLoadError that names the line.
    def load
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
      raise AppLoadError, "#{name} cannot be loaded: #{exhausted || Fault.describe(error, @path)}"
    end

    # Where no file can be opened, Ruby says that there is none.
    def exhausted
      Array.new(3) { File.open(__FILE__) }.each(&:close)
      nil
    rescue Errno::EMFILE, Errno::ENFILE
      "too many open files: raise the limit of file descriptors (ulimit -n, LimitNOFILE=)"
    end

    def name = Fault.relative(@path)
  end
end
