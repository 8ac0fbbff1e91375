# frozen_string_literal: true

# Puma's configuration file, as an app brings it along: where it is, and what becomes of those of Puma's names that are
# no options here. Most are mentioned and passed over. A few are refused, because without them the server would serve
# something else, or in another place, than the file says.

module Tidegate
  module PumaNames
    FILE = %r{(?:\A|/)config/puma(?:/[^/]+)?\.rb\z}

    ONE_PROCESS = "there is one process, which forks no workers"
    NO_FORK = "its block is not run: nothing forks here"
    NO_HOOK = "its block is not run: there is no such hook yet"
    NOT_YET = "it is not supported yet"
    NO_CONTROL = "there is no control server yet; `admin` answers the probes"
    NO_RESTART = "there is no restart in place yet: start another process"
    OWN_WAY = "the server has its own way of doing that"
    SHUTDOWN = "drain_delay and shutdown_timeout say how the server stops"

    # Name => why it changes nothing.
    PASSED_OVER = {
      ONE_PROCESS => %i[
        workers preload_app! fork_worker worker_check_interval worker_timeout worker_boot_timeout worker_shutdown_timeout
        worker_culling_strategy wait_for_less_busy_worker nakayoshi_fork silence_single_worker_warning
        silence_fork_callback_warning cluster
      ],
      NO_FORK => %i[
        before_fork before_worker_fork on_worker_fork after_worker_fork after_worker_boot before_worker_boot on_worker_boot
        before_worker_shutdown on_worker_shutdown after_worker_shutdown before_refork on_refork after_refork
      ],
      NO_HOOK => %i[
        after_booted on_booted after_stopped on_stopped before_restart on_restart before_thread_start on_thread_start
        before_thread_exit on_thread_exit out_of_band
      ],
      NO_CONTROL => %i[activate_control_app state_path state_permission],
      NO_RESTART => %i[restart_command prune_bundler extra_runtime_dependencies],
      OWN_WAY => %i[
        queue_requests io_selector_backend max_fast_inline max_keep_alive enable_keep_alives fiber_per_request
        clean_thread_locals max_io_threads mutate_stdout_and_stderr_to_sync_on_write
      ],
      SHUTDOWN => %i[force_shutdown_after drain_on_shutdown raise_exception_on_sigterm shutdown_debug],
      NOT_YET => %i[
        idle_timeout stdout_redirect custom_logger log_formatter lowlevel_error_handler supported_http_methods
        allow_underscore_headers set_remote_address rack_url_scheme
      ]
    }.flat_map { |reason, names| names.map { |name| [name, reason] } }.to_h.freeze

    # Name => what to do instead.
    REFUSED = {
      ssl_bind: "TLS is not supported yet",
      bind_to_activated_sockets: "sockets of systemd are not supported yet; use bind",
      clear_binds!: "leave out the binds before it",
      app: "the app comes from the rackup file",
      single: "write what is in its block without it"
    }.freeze

    # These ask for what is the case anyway when they are given one of these values.
    ALREADY_SO = { workers: [0, "0", nil], preload_app!: [false], raise_exception_on_sigterm: [false] }.freeze

    module_function

    # Whether the file at +path+ is written for Puma.
    def file?(path) = path.match?(FILE)

    # The sentence about a call of +name+ that changes nothing: nil where there is nothing to say, false when Puma has no
    # such name. Raises a ConfigurationError for what cannot be passed over.
    def notice(name, values)
      raise ConfigurationError, "#{name} cannot be passed over: #{REFUSED[name]}" if REFUSED.key?(name)
      return "plugin #{values.first.inspect} is not loaded: Puma's plugins are not supported yet" if name == :plugin
      return false unless PASSED_OVER.key?(name)

      "#{name} changes nothing: #{PASSED_OVER[name]}" unless already_so?(name, values)
    end

    def already_so?(name, values) = values.any? { |value| ALREADY_SO.fetch(name, []).include?(value) }

    private_class_method :already_so?
  end
end
