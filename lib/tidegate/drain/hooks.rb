# frozen_string_literal: true

# What the app has to do when the server is told to stop, and when it serves nothing new any more: in threads of their
# own, while requests are still served. Action Cable is told without having been asked: its clients would stay until the
# end, and be cut off then.

module Tidegate
  class DrainHooks
    # +configuration+ names the hooks, +server+ is a Tidegate::Server.
    def initialize(configuration, server, log)
      @before = configuration.before_drain.dup
      @before << CableDrain.new(server) if CableDrain.applies?
      @after = configuration.after_drain
      @log = log
      @threads = []
    end

    # Waits for the two moments, and runs what belongs to each. +native+ knows when they come.
    def start(native)
      @threads << thread("before_drain", @before) { native.await_stop } if @before.any?
      @threads << thread("after_drain", @after) { native.await_closing } if @after.any?
      self
    end

    # Waits for those that run, for up to +seconds+ altogether.
    def join(seconds)
      limit = now + seconds
      @threads.each { |thread| thread.join([limit - now, 0].max) }
    end

    private

    # One that is killed while it waits is replaced; one that is killed in a hook has run it.
    def thread(name, hooks)
      begun = false
      KeptThread.new("tidegate #{name}", @log) do
        next if begun

        yield
        begun = true
        Hooks.new(name, hooks, @log).run
      end.start
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
