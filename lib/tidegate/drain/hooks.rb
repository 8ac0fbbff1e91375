# frozen_string_literal: true

# Runs the hooks before_drain, when the server is told to stop, and after_drain, when it serves nothing new any more, in threads of
# their own, while requests are still served. Action Cable is always told, without a hook: otherwise its clients would stay until
# the end and then be cut off.

module Tidegate
  class DrainHooks
    # +configuration+ has the hooks, +server+ is a Tidegate::Server.
    def initialize(configuration, server, log)
      @before = configuration.before_drain.dup
      @before << CableDrain.new(server) if CableDrain.applies?
      @before.unshift(-> { Backtraces.new([server]).print(log, "shutdown_debug") }) if configuration.shutdown_debug == true
      @after = configuration.after_drain
      @log = log
      @threads = []
    end

    # Waits for each of the two moments, and runs its hooks then. +native+, the Native::Server, knows when they come.
    def start(native)
      @threads << thread("before_drain", @before) { native.await_stop } if @before.any?
      @threads << thread("after_drain", @after) { native.await_closing } if @after.any?
      self
    end

    # Waits for the hooks that run, for up to +seconds+ altogether.
    def join(seconds)
      limit = now + seconds
      @threads.each { |thread| thread.join([limit - now, 0].max) }
    end

    private

    # A thread that is killed while it waits is replaced. A thread that is killed in a hook is not: the hook has run.
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
