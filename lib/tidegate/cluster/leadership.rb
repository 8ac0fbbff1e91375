# frozen_string_literal: true

# A cluster as a process: from the resolved configuration to the exit status. What a single process does in the Launcher's `serve`, for a
# master.

module Tidegate
  class Leadership
    # Places in the shared table beside two for each worker, which it and its replacement have for a while; and at least so many.
    MORE_SLOTS = 8
    LEAST_SLOTS = 16

    # +app+ is the app, or an AppLoader. +image+ is the program that runs, +legacy+ what the one before has left; +redirect+ are the files
    # of the output. The block reports an error that has ended a worker's boot.
    def initialize(configuration, app, log:, env:, signals:, image:, surroundings:, redirect: nil, restart_file: nil, &report)
      @configuration = configuration
      @log = log
      @env = env
      @signals = signals
      @image = image
      @restart_file = restart_file
      @legacy = Image.legacy(env)
      @parts = WorkerParts.new(configuration:, app:, log:, surroundings:, redirect:, report:)
    end

    # Binds the addresses and makes what the workers share, and returns the Server that they get.
    def bind
      server = @parts.bind
      server.plan[:clamped].each { |sentence| @log.error(sentence) }
      @parts.share([2 * @configuration.workers + MORE_SLOTS, LEAST_SLOTS].max, @legacy&.fetch(:adoption))
      Image.ticket_keys(@legacy)&.then { |keys| @parts.cluster.adopt_ticket_keys(keys) }
      server
    end

    # Loads the app, if it is to be loaded before the fork. The server's guard bounds that, and ends with it.
    def preload
      return unless @configuration.preload_app

      @parts.server.guard_boot(@signals.names) if @signals.installed?
      @parts.load_app
    ensure
      @parts.server.end_guard
    end

    # Has workers serve until the cluster is told to stop, and returns the exit status. Yields when all serve.
    def run(&)
      Process.setproctitle("tidegate #{VERSION} master [#{@parts.tag}]")
      warn_of_threads
      supervisor = Supervisor.new(@parts, **Image.workers(@legacy))
      Master.new(supervisor, @parts, signals: @signals, image: @image, restart_file: @restart_file, systemd: Systemd.from(@env)).run(&)
    end

    # The line that says that all serve.
    def ready_sentence = @parts.server.ready_sentence(@configuration.workers)

    private

    # The app's threads are in the process that forks, and not in the workers.
    def warn_of_threads
      threads = Thread.list - [Thread.main]
      threads.reject! { |thread| thread.thread_variable_get(:fork_safe) }
      return if threads.empty? || !@parts.preloaded?

      names = threads.map { |thread| thread.name || thread.inspect[/\S+:\d+/] || "one without a name" }.first(5).join(", ")
      @log.error("the app has started #{threads.size == 1 ? "a thread" : "#{threads.size} threads"} while it was loaded (#{names}): workers " \
                 "do not have #{threads.size == 1 ? "it" : "them"}; start threads in before_worker_boot")
    end
  end
end
