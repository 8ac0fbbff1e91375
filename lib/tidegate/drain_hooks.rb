# frozen_string_literal: true

# What the app has to do when the server is told to stop: in a thread of its own, while requests are still served.
# Action Cable is told without having been asked: its clients would stay until the end, and be cut off then.

module Tidegate
  class DrainHooks
    # +hooks+ are callables, +server+ a Tidegate::Server.
    def initialize(hooks, server, log)
      @hooks = hooks.dup
      @hooks << CableDrain.new(server) if CableDrain.applies?
      @log = log
    end

    # Runs them when the block, which waits for the moment, returns. The thread that does; nil where there is nothing to do.
    def start
      return if @hooks.empty?

      Thread.new do
        Thread.current.name = "tidegate drain"
        yield
        Hooks.new("before_drain", @hooks, @log).run
      end
    end
  end
end
