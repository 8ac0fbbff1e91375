# frozen_string_literal: true

# What all workers of a cluster get from the process that forks them: the configuration, the app or what loads it, the bound server, and
# the shared table.

module Tidegate
  class WorkerParts
    # +app+ is called by the server; if it is an AppLoader, it is loaded by #load_app. +surroundings+ are those of the process, +redirect+
    # are the files of its output, if there are any.
    def initialize(configuration:, app:, log:, surroundings:, report:, redirect: nil)
      @configuration = configuration
      @app = app
      @log = log
      @surroundings = surroundings
      @report = report
      @redirect = redirect
      @loaded = !app.is_a?(AppLoader)
    end

    attr_reader :configuration, :log, :cluster, :server, :redirect

    # Binds the addresses, or takes +sockets+ that are bound, which are InheritedSockets.
    def bind(sockets = @surroundings.sockets)
      @server = Server.new(@app, configuration:, log:, surroundings: @surroundings.with(sockets:)).bind.share
    end

    # Makes what the workers share. There are +slots+ places for workers. +adoption+ are the two descriptors that the image of this process
    # before has had for connections without a worker; nil if there was none.
    def share(slots, adoption)
      @cluster = Native::Cluster.new(slots, adoption)
      adoption&.each { |descriptor| IO.for_fd(descriptor).close } # the cluster has made its own of them
    end

    # Whether the process that forks has the app: new workers have it as it was then.
    def preloaded? = configuration.preload_app || !@app.is_a?(AppLoader)

    # Loads the app, unless that was done in the process which has forked this one.
    def load_app
      return if @loaded

      @app.load
      @loaded = true
    end

    # Reports what has ended a boot.
    def report(error) = @report.call(error)

    # A word for the process titles.
    def tag = configuration.tag || File.basename(Dir.pwd)
  end
end
