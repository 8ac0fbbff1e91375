# frozen_string_literal: true

# The language of config/puma.rb, for apps that come from Puma and have no file for Tidegate: our options under Puma's
# names, as in DSL, and Puma's other names, which are accepted and said to do nothing here.

module Tidegate
  class PumaDSL < DSL
    # There is one process, as with Puma's `workers 0`, where these do nothing either.
    CLUSTER = %i[
      preload_app! fork_worker worker_timeout worker_boot_timeout worker_shutdown_timeout worker_check_interval
      worker_culling_strategy wait_for_less_busy_worker nakayoshi_fork silence_single_worker_warning
      silence_fork_callback_warning before_fork on_worker_boot before_worker_boot on_worker_shutdown
      before_worker_shutdown after_worker_shutdown on_worker_fork before_worker_fork after_worker_fork after_worker_boot
      on_refork before_refork after_refork cluster
    ].freeze

    # What has no counterpart because there is nothing to choose.
    MEANINGLESS = {
      queue_requests: "requests are always received before the app is called",
      io_selector_backend: "the waiting is done in Rust",
      prune_bundler: "there is no restart in place", extra_runtime_dependencies: "there is no restart in place",
      max_fast_inline: "there is nothing to tune", max_io_threads: "waiting requests do not hold others up",
      drain_on_shutdown: "the accept queue is always emptied", raise_exception_on_sigterm: "SIGTERM always ends with 0",
      mutate_stdout_and_stderr_to_sync_on_write: "lines are written at once"
    }.freeze

    # What Puma has and Tidegate does not, yet.
    MISSING = %i[
      activate_control_app state_path state_permission restart_command stdout_redirect log_formatter custom_logger
      set_remote_address rack_url_scheme idle_timeout enable_keep_alives max_keep_alive supported_http_methods
      fiber_per_request clean_thread_locals force_shutdown_after
      shutdown_debug out_of_band on_restart before_restart
    ].freeze

    # What cannot be left out: without it the server would serve something else, or elsewhere, than the file says.
    REFUSED = {
      ssl_bind: "TLS is not supported yet", bind_to_activated_sockets: "sockets of systemd are not supported yet",
      clear_binds!: "leave out the binds before it", app: "the app comes from the rackup file",
      load: "name each file with -C", get: "read the environment instead", inject: "write its content without it"
    }.freeze

    # Sentences about what does nothing.
    attr_reader :warnings

    def initialize(path, layer)
      super
      @warnings = []
    end

    # Puma's shorthand for what has a block of its own in single mode.
    def single = yield

    def workers(count = nil)
      return if count.nil? || count.to_s == "0"

      ignore(:workers, "one process serves; cluster mode is not there yet")
    end

    # Of the plugins, :tmp_restart is an option here.
    def plugin(name)
      return set(Configuration::OPTIONS[:restart_file], ["tmp/restart.txt"]) if name.to_s == "tmp_restart"
      return ignore("plugin :solid_queue", "run its jobs as a process of their own: bin/jobs") if name.to_s == "solid_queue"

      ignore("plugin :#{name}", "plugins are not there yet")
    end

    # Puma's name for `host`.
    def set_default_host(host) = self.host(host)

    CLUSTER.each { |name| define_method(name) { |*, &_| nil } }
    MEANINGLESS.each { |name, reason| define_method(name) { |*, &_| ignore(name, reason) } }
    MISSING.each { |name| define_method(name) { |*, &_| ignore(name, "Tidegate has no such option yet") } }

    REFUSED.each do |name, reason|
      define_method(name) { |*, &_| raise ConfigurationError, "#{here}: #{name} cannot be left out: #{reason}" }
    end

    private

    def ignore(name, reason) = @warnings << "#{here}: #{name} does nothing here: #{reason}"
  end
end
