# frozen_string_literal: true

# The options. All of them, once: the command line, its help, the environment, the configuration file, the keywords
# of Tidegate::Server, the checks and docs/options.md are made from this table.

require_relative "types"
require_relative "option"

module Tidegate
  class Configuration
    def self.option(name, type, default, text, **more)
      Option.new(name:, type: Types.const_get(type), default: default.freeze, text:, **more)
    end
    private_class_method :option

    # Heading => options, in the order of the help.
    GROUPS = {
      "Listening" => [
        option(:bind, :ADDRESS, [], "address instead of the default: tcp://HOST:PORT, ssl://HOST:PORT or unix://PATH; repeatable",
               short: "-b", many: true, shown: "tcp at host and port", native: true),
        option(:port, :PORT, 9292, "TCP port of the default address; 0 takes a free one", short: "-p", usual: %w[PORT]),
        option(:host, :TEXT, nil, "host of the default address",
               short: "-o", shown: "[::] if the machine has a public IPv6 address, else 0.0.0.0"),
        option(:tls_reload_interval, :TIMEOUT_OR_OFF, 10.0,
               "seconds between two looks whether certificates have changed; 0: on HUP alone",
               native: true),
        option(:bind_to_activated_sockets, :ACTIVATED, true,
               "systemd's sockets: true: beside the addresses that are set; only: instead; false: if equal"),
        option(:admin, :ADDRESS_OR_NONE, nil, "address for probes, POST /drain, /metrics and /stats: tcp://HOST:PORT or unix://PATH",
               native: true),
        option(:admin_token, :SECRET, nil, "Bearer token that POST /drain takes over TCP, of at least 16 characters",
               long: false, secret: true, native: true),
        option(:admin_token_file, :PATH, nil, "file with the Bearer token that POST /drain takes over TCP; read at boot"),
        option(:admin_hosts, :HOST, [], "name of admin for browsers and POST /drain, beside IP addresses and localhost; repeatable",
               many: true, shown: "none", native: true),
        option(:trusted_proxies, :NETWORK, [],
               "proxy that is believed: IP address, network, loopback, private or unix; repeatable",
               many: true, shown: "none", native: true),
        option(:forwarded_headers, :HEADER, [],
               "header of these that counts, such as Forwarded or X-Forwarded-For; repeatable",
               many: true, shown: "none", native: true),
        option(:proxy_protocol, :PROXY, nil, "PROXY header on every address that does not say: true, v1, v2 or false", shown: "false"),
        option(:strip_forwarded, :SWITCH, false, "take such headers away from requests that no trusted proxy sends", native: true),
        option(:probe_paths, :SWITCH, false, "answer /livez, /readyz, /servingz and /startupz on the app's addresses too",
               native: true),
        option(:liveness_timeout, :TIMEOUT_OR_OFF, 60.0,
               "seconds that requests may wait while no thread is in the app until /livez fails; 0: never", native: true)
      ],
      "Application" => [
        option(:rackup, :PATH, "config.ru", "rackup file to serve", long: false),
        option(:environment, :TEXT, "development", "environment of the app; development shows exceptions to the client",
               short: "-e", usual: %w[APP_ENV RACK_ENV RAILS_ENV]),
        option(:directory, :PATH, nil, "directory to change to first", long: "--dir", shown: "the current one"),
        option(:config, :PATH, [], "configuration file; repeatable, - for none", short: "-C", many: true, in_file: false,
               shown: "config/tidegate/ENVIRONMENT.rb or config/tidegate.rb, else config/puma.rb")
      ],
      "Threads" => [
        option(:threads, :THREADS, nil, "min_threads and max_threads; one number is both", short: "-t",
               shown: "0:max_threads", stands_for: ->((min, max)) { { min_threads: min, max_threads: max } }),
        option(:min_threads, :COUNT_OR_ZERO, 0, "threads to start at once; the others come when needed",
               usual: %w[RAILS_MIN_THREADS PUMA_MIN_THREADS MIN_THREADS], native: true),
        option(:max_threads, :COUNT, nil, "most threads that run the app", usual: %w[RAILS_MAX_THREADS PUMA_MAX_THREADS MAX_THREADS],
               shown: "ActiveRecord's pool size up to 32, without it 32", native: true),
        option(:idle_thread_timeout, :TIMEOUT, 30.0, "seconds without work after which a thread beyond min_threads ends",
               native: true),
        option(:max_queue, :COUNT, 1024, "requests that may wait for a thread; the next is answered with 503",
               shown: "1024, or max_threads if that is more", native: true),
        option(:queue_timeout, :TIMEOUT, nil, "seconds that a request may wait for a thread; then it is answered with 503",
               native: true),
        option(:time_slice, :COUNT_OR_ZERO, 40,
               "ms that a thread may compute without a pause while others want the GVL; 0: Ruby's 100", native: true)
      ],
      "Processes" => [
        option(:workers, :WORKERS, 0, "processes that serve; auto: one for each CPU of the container; 0: this one process alone",
               short: "-w", usual: %w[WEB_CONCURRENCY]),
        option(:preload_app, :SWITCH, true, "load the app once, before the workers are forked; they share its memory", long: "--preload"),
        option(:hand_over, :SWITCH, true, "let a worker without room pass a connection on to one that is idle or has less to do", native: true),
        option(:worker_boot_timeout, :TIMEOUT, 60.0, "seconds until a worker serves; then it is killed and another is started"),
        option(:worker_timeout, :TIMEOUT, 60.0,
               "seconds without a sign of life of a worker, busy or not; then it is replaced"),
        option(:worker_check_interval, :INTERVAL, 5.0, "seconds between two looks for that, so that worker_timeout must be longer"),
        option(:worker_shutdown_timeout, :SECONDS, 30.0,
               "seconds for the requests of a worker that another replaces; then they are cut off", native: true),
        option(:worker_culling_strategy, :CULLING, :youngest, "which worker leaves when there are to be fewer: youngest or oldest"),
        option(:max_requests, :COUNT_OR_NONE, nil, "requests after which a worker is replaced, once another has booted"),
        option(:max_requests_jitter, :COUNT_OR_ZERO, nil, "up to so many more, at random, so that workers do not leave together",
               shown: "a tenth of max_requests"),
        option(:max_memory, :MEMORY, nil, "bytes of memory (RSS) at which a worker is replaced, once another has booted"),
        option(:refork_after, :COUNT, [], "requests of a worker after which the others are forked anew from it; repeatable",
               many: true, shown: "none"),
        option(:request_timeout, :TIMEOUT, nil, "seconds that the app may take for a request; then it is answered with 504",
               native: true),
        option(:silence_single_worker_warning, :SWITCH, false, "do not say that a cluster of one worker gains nothing"),
        option(:silence_fork_callback_warning, :SWITCH, false, "do not say which hooks do nothing without workers")
      ],
      "Requests" => [
        option(:stream_input, :SWITCH, false, "give the app a request body while it arrives, instead of whole", native: true),
        option(:allow_underscore_headers, :UNDERSCORES, :auto,
               "header names with underscores: true, false, auto: those without a dashed twin", native: true),
        option(:request_id, :SWITCH, false, "give each request an X-Request-Id that has none, and send it back", native: true),
        option(:request_start, :SWITCH, false, "give each request an X-Request-Start that has none", native: true),
        option(:lowlevel_error_handler, :CODE, nil, "block that answers when the app raises, from (error, env, status)",
               long: false, code: true),
        option(:early_hints, :SWITCH, false, "let the app send 103 Early Hints, in env[\"rack.early_hints\"]", native: true),
        option(:supported_http_methods, :HTTP_METHOD, [], "method that the app is called with; others are answered with 501; repeatable",
               many: true, shown: "any"),
        option(:rack_url_scheme, :SCHEME, nil, "scheme that the app is told, http or https", shown: "the connection's"),
        option(:remote_address, :TEXT, nil, "address that the app is told for every client, and the log has", shown: "the client's",
               native: true),
        option(:enable_keep_alives, :SWITCH, true, "keep a connection of HTTP/1 after the app's response"),
        option(:fiber_per_request, :SWITCH, false, "call the app in a new Fiber each time, with an empty Thread.current[]",
               usual: %w[PUMA_FIBER_PER_REQUEST])
      ],
      "Timeouts" => [
        option(:handshake_timeout, :TIMEOUT, 10.0, "seconds for what a connection begins with before HTTP: a TLS handshake, a PROXY header",
               native: true),
        option(:first_data_timeout, :TIMEOUT, 30.0, "seconds until a new connection sends its first byte", native: true),
        option(:head_timeout, :TIMEOUT, 30.0, "seconds from a request's first byte to the end of its headers", native: true),
        option(:body_timeout, :TIMEOUT, 60.0, "seconds without a byte of the request body", native: true),
        option(:persistent_timeout, :TIMEOUT, 65.0, "seconds without a request on a kept connection",
               usual: %w[PUMA_PERSISTENT_TIMEOUT], native: true),
        option(:write_timeout, :TIMEOUT, 60.0, "seconds without the client taking a byte of the response", native: true),
        option(:lingering_timeout, :SECONDS, 2.0, "seconds for the client to end its side of a connection that the server has ended",
               native: true),
        option(:receive_timeout, :TIMEOUT, nil, "seconds from a request's first byte to its last, however fast it comes",
               native: true),
        option(:min_data_rate, :BYTES_OR_NONE, 500,
               "bytes a second that a client must send of a request body, or take of a response", native: true),
        option(:min_data_rate_grace, :SECONDS, 20.0, "seconds over which that is measured; at least 1", native: true)
      ],
      "Limits" => [
        option(:max_connections, :COUNT_OR_AUTO, :auto,
               "open connections; beyond, the longest silent one gives way; auto: as ulimit -n allows", native: true),
        option(:max_keep_alive, :COUNT_OR_NONE, nil, "requests that a connection serves; the response to the last closes it", native: true),
        option(:buffer_limit, :BYTES_AUTO_OR_NONE, :auto,
               "bytes of all bodies in memory; what is beyond goes to files; auto: 64M, or less in little",
               native: true),
        option(:http_content_length_limit, :BYTES_OR_NONE, nil, "bytes of a request body; more is answered with 413",
               native: true),
        option(:body_memory_limit, :BYTES_OR_NONE, nil,
               "bytes of a request body in memory; a larger one goes to a file; none: see buffer_limit", native: true),
        option(:spool_directory, :PATH, nil, "directory for request and response bodies that go to a file", shown: "TMPDIR, else /tmp", native: true),
        option(:head_limit, :BYTES, 112 * 1024, "bytes of a request's line and headers; more are answered with 431", shown: "112K",
               native: true),
        option(:header_fields_limit, :COUNT, 1000, "header fields of a request, at most 10000; more are answered with 431",
               native: true)
      ],
      "HTTP/2" => [
        option(:http2, :SWITCH, true, "speak HTTP/2: over TLS where the client asks for it, else where it begins with it",
               native: true),
        option(:http2_max_concurrent_streams, :COUNT, 100, "requests under way on a connection; more are refused, and may be sent again",
               native: true),
        option(:http2_max_pending_resets, :COUNT, 20, "requests of a connection that their client resets before they were looked at; more end it",
               native: true),
        option(:http2_max_error_resets, :COUNT, 1024, "requests of a connection, in all, that break the protocol; more end it",
               native: true)
      ],
      "Shutdown" => [
        option(:drain_delay, :SECONDS_OR_AUTO, :auto, "seconds to serve on after TERM; auto: 0 outside Kubernetes", native: true),
        option(:shutdown_timeout, :SECONDS_OR_AUTO, :auto, "seconds after that for requests in flight; auto: the rest",
               native: true),
        option(:termination_grace, :SECONDS_OR_AUTO, :auto, "seconds the platform leaves from TERM to KILL", native: true),
        option(:prestop, :SECONDS, 0.0, "seconds of these that a preStop hook uses before TERM", native: true),
        option(:drain_until_quiet, :SWITCH, false,
               "end the delay when no new connections come any more, prolong it while they do", native: true),
        option(:drain_fail_paths, :REQUEST_PATH, [], "health check of the app that is to fail once the server is told to stop; repeatable",
               many: true, native: true),
        option(:termination_log, :PATH_OR_AUTO, :auto, "file for what the drain did; auto: /dev/termination-log in Kubernetes",
               native: true),
        option(:before_drain, :CODE, [], "block to run when the server is told to stop, beside the requests; repeatable",
               long: false, many: true, code: true),
        option(:after_drain, :CODE, [], "block to run when nothing new is served any more, beside the requests; repeatable",
               long: false, many: true, code: true)
      ],
      "Hooks" => [
        option(:after_booted, :CODE, [], "block to run once requests are served; repeatable", long: false, many: true, code: true),
        option(:after_stopped, :CODE, [], "block to run after the last request; repeatable", long: false, many: true, code: true),
        option(:before_thread_start, :CODE, [], "block that each thread of the app runs first; repeatable",
               long: false, many: true, code: true),
        option(:before_thread_exit, :CODE, [], "block that each thread of the app runs last; repeatable",
               long: false, many: true, code: true),
        option(:before_restart, :CODE, [], "block to run before the process replaces itself by a new image; repeatable",
               long: false, many: true, code: true),
        option(:out_of_band, :CODE, [], "block to run after requests, when none waits; repeatable", long: false, many: true, code: true),
        option(:before_fork, :CODE, [], "block that the master runs once, before it forks workers; repeatable",
               long: false, many: true, code: true),
        option(:before_worker_fork, :CODE, [], "block to run before each fork of a worker, with its index; repeatable",
               long: false, many: true, code: true),
        option(:after_worker_fork, :CODE, [], "block to run after each fork of a worker, with its index; repeatable",
               long: false, many: true, code: true),
        option(:before_worker_boot, :CODE, [], "block that each worker runs before it serves, with its index; repeatable",
               long: false, many: true, code: true),
        option(:before_worker_shutdown, :CODE, [], "block that each worker runs after its last request, with its index; repeatable",
               long: false, many: true, code: true),
        option(:after_worker_shutdown, :CODE, [], "block that the master runs after a worker has ended, with its handle; repeatable",
               long: false, many: true, code: true),
        option(:before_refork, :CODE, [], "block that the worker to fork others from runs first; repeatable",
               long: false, many: true, code: true),
        option(:after_refork, :CODE, [], "block that the worker which others were forked from runs then; repeatable",
               long: false, many: true, code: true)
      ],
      "Process and output" => [
        option(:pidfile, :PATH, nil, "file for the process id"),
        option(:idle_timeout, :TIMEOUT, nil, "seconds without a request, of all workers, after which the server stops"),
        option(:puma_compat, :SWITCH, false, "define Puma for gems that ask Puma.stats or are its plugins, where there is no Puma"),
        option(:restart_file, :PATH, nil, "file that restarts the server when it is touched; tmp/restart.txt for bin/rails restart"),
        option(:restart_command, :TEXT, nil, "command for a restart (USR2)", short: "-R", long: "--restart-cmd",
               shown: "the one that this process was started with"),
        option(:state_path, :PATH, nil, "file for `tidegate ctl`, with the process id and the admin address", short: "-S", long: "--state"),
        option(:state_permission, :MODE, nil, "mode of that file, such as 0640", shown: "0600"),
        option(:redirect_stdout, :PATH, nil, "file for the standard output; HUP opens it anew"),
        option(:redirect_stderr, :PATH, nil, "file for the standard error; HUP opens it anew"),
        option(:redirect_append, :SWITCH, false, "append to these files instead of emptying them"),
        option(:tag, :TEXT, nil, "word in the process title", shown: "the directory's name"),
        option(:log_requests, :SWITCH, false, "print a line for each request", short: "-v", native: true),
        option(:log_format, :FORMAT, :combined, "how that line looks: combined, as Apache's, or json; with json the server's own lines too",
               native: true),
        option(:log_formatter, :CODE, nil, "block that gets each of the server's lines and returns what is printed", long: false, code: true),
        option(:custom_logger, :LOGGER, nil, "object whose write gets what the server does, and whose write or << gets request lines",
               long: false, code: true),
        option(:quiet, :SWITCH, true, "print no line for each request", short: "-q",
               stands_for: ->(on) { { log_requests: !on } }),
        option(:silent, :SWITCH, false, "print errors only", short: "-s"),
        option(:shutdown_debug, :WHEN_FORCED, false, "print the backtraces of all threads when told to stop; on_force: when forced to"),
        option(:debug, :SWITCH, false, "show the whole backtrace when the app cannot be loaded, also of what has started it")
      ]
    }.transform_values(&:freeze).freeze

    # Every option, by its name.
    OPTIONS = GROUPS.values.flatten.to_h { |each| [each.name, each] }.freeze
  end
end
