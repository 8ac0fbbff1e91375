# frozen_string_literal: true

# The language of config/puma.rb, for apps that come from Puma and have no file for Tidegate: our options under Puma's
# names, as in DSL, and Puma's other names, which are accepted and said to do nothing here.

module Tidegate
  class PumaDSL < DSL
    # What has no counterpart because there is nothing to choose.
    MEANINGLESS = {
      queue_requests: "requests are always received before the app is called",
      io_selector_backend: "the waiting is done in Rust",
      prune_bundler: "a restart runs the whole command again, in a new process image",
      extra_runtime_dependencies: "a restart runs the whole command again, in a new process image",
      wait_for_less_busy_worker: "a worker without room passes connections on to one that is idle",
      nakayoshi_fork: "the heap is made ready before the first fork",
      max_fast_inline: "there is nothing to tune", max_io_threads: "waiting requests do not hold others up",
      drain_on_shutdown: "the accept queue is always emptied", raise_exception_on_sigterm: "SIGTERM always ends with 0",
      mutate_stdout_and_stderr_to_sync_on_write: "lines are written at once"
    }.freeze

    # What Puma has and Tidegate does not, yet.
    MISSING = %i[
      log_formatter custom_logger rack_url_scheme idle_timeout enable_keep_alives max_keep_alive
      supported_http_methods fiber_per_request clean_thread_locals force_shutdown_after
    ].freeze

    # What cannot be left out: without it the server would serve something else, or elsewhere, than the file says.
    REFUSED = {
      clear_binds!: "leave out the binds before it", app: "the app comes from the rackup file",
      load: "name each file with -C", get: "read the environment instead", inject: "write its content without it"
    }.freeze

    PROXY_PROTOCOL = "set_remote_address proxy_protocol: is written with the address here, as in " \
                     "bind \"tcp://0.0.0.0:9292?proxy_protocol=v1\", and trusted_proxies names the proxies"
    private_constant :PROXY_PROTOCOL

    # Sentences about what does nothing.
    attr_reader :warnings

    def initialize(path, layer)
      super
      @warnings = []
    end

    # With nothing the number comes from elsewhere, as from WEB_CONCURRENCY, which may be set and blank.
    def workers(count = nil)
      super unless count.to_s.strip.empty?
    end

    # Puma's name for `refork_after`.
    def fork_worker(requests = PumaFlags::FORK_WORKER) = refork_after(requests)

    # The control server is the admin listener here.
    def activate_control_app(url = "auto", options = {})
      PumaControl.new(@layer, here).activate(url, **options) { |reason| @warnings << "#{here}: activate_control_app: #{reason}" }
    end

    # Of the plugins, :tmp_restart is an option here.
    def plugin(name)
      return set(Configuration::OPTIONS[:restart_file], ["tmp/restart.txt"]) if name.to_s == "tmp_restart"
      return ignore("plugin :solid_queue", "run its jobs as a process of their own: bin/jobs") if name.to_s == "solid_queue"

      ignore("plugin :#{name}", "plugins are not there yet")
    end

    # Puma believes a header of any client; here it counts from proxies on this machine and on private networks, unless others are named.
    # Where it would take a PROXY header from every client, the address has to say so.
    def set_remote_address(value = :socket)
      return if value == :socket
      raise ConfigurationError, "#{here}: #{PROXY_PROTOCOL}" if value.is_a?(Hash) && value.key?(:proxy_protocol)
      return ignore("set_remote_address", "Tidegate has no fixed address to give") unless value.is_a?(Hash) && value.key?(:header)

      forwarded_headers(value[:header].to_s)
      return if @layer.key?(:trusted_proxies)

      trusted_proxies("loopback", "private", "unix")
      @warnings << "#{here}: set_remote_address: #{value[:header]} counts from loopback and private addresses; trusted_proxies names others"
    end

    # Puma's name for `host`.
    def set_default_host(host) = self.host(host)

    MEANINGLESS.each { |name, reason| define_method(name) { |*, &_| ignore(name, reason) } }
    MISSING.each { |name| define_method(name) { |*, &_| ignore(name, "Tidegate has no such option yet") } }

    REFUSED.each do |name, reason|
      define_method(name) { |*, &_| raise ConfigurationError, "#{here}: #{name} cannot be left out: #{reason}" }
    end

    private

    def ignore(name, reason) = @warnings << "#{here}: #{name} does nothing here: #{reason}"
  end
end
