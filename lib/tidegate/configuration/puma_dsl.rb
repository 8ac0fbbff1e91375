# frozen_string_literal: true

# The language of config/puma.rb, for apps that come from Puma and have no file for Tidegate: our options under Puma's
# names, as in DSL, Puma's names for the same things, and what Tidegate has no counterpart of, which is said in a line.
# docs/from-puma.md has every name with what it does here.

module Tidegate
  class PumaDSL < DSL
    # What has no counterpart: what is there instead, and the values that ask for just that, about which there is nothing to say.
    ABSENT = {
      queue_requests: ["requests are always received before the app is called", [true]],
      io_selector_backend: ["the waiting is done in Rust", [:auto]],
      prune_bundler: ["a restart runs the whole command again, in a new process image", [false]],
      extra_runtime_dependencies: ["a restart runs the whole command again, in a new process image", [[]]],
      wait_for_less_busy_worker: ["a worker without room passes connections on to one that is idle or has less to do", []],
      nakayoshi_fork: ["the heap is made ready before the first fork", [false]],
      max_io_threads: ["a request that waits does not count as one that runs", [0]],
      drain_on_shutdown: ["the accept queue is always emptied", [true]],
      raise_exception_on_sigterm: ["SIGTERM always ends with 0", [false]],
      mutate_stdout_and_stderr_to_sync_on_write: ["lines are written at once", [true]]
    }.freeze

    # Puma's own plugins.
    BUILT_IN = { "tmp_restart" => -> { restart_file("tmp/restart.txt") }, "systemd" => -> {} }.freeze

    # The proxies that are believed where a file for Puma believes every client.
    NEAR = %w[loopback private unix].freeze

    FIRST_WORD = ", and of several addresses the last that is no proxy's, where Puma takes the first, which clients can write"
    private_constant :FIRST_WORD

    # As files for Puma 5 have it.
    DefaultRackup = "config.ru" # rubocop:disable Naming/ConstantName

    # What @config is for a file: hooks are set on the file's own methods.
    Config = Data.define(:options, :events) do
      def environment = options[:environment]
      def rackup = options[:rackup]
      def load_plugin(name) = events.plugin(name)
      alias_method :_options, :options
    end

    # Puma's constants, for a file that asks for its version or its list of methods. Puma itself is neither loaded nor defined.
    def self.const_missing(name) = name == :Puma ? PumaCompat::Puma : super

    # As DSL.load. +others+ yields the Setting of an option that stronger sources have.
    def self.load(path, layer, others: nil, seen: [])
      dsl = new(path, layer, others:)
      dsl.evaluate { dsl.instance_eval(File.read(path), path) }
      dsl.offer_plugins
      dsl.loads.each do |file|
        next if seen.include?(file)

        dsl.warnings << load(file, layer, others:, seen: [*seen, path, file])
      end
      dsl.warnings
    end

    # Sentences about what does nothing, and the files that are to be read after this one.
    # @api private
    attr_reader :warnings, :loads

    def initialize(path, layer, others: nil)
      super(path, layer)
      @warnings = []
      @loads = []
      @new_plugins = []
      @left_out = []
      @options = PumaOptions.new(self, layer, more: layer.extras)
      @config = Config.new(PumaOptions.new(self, layer, others: others || ->(_) {}, more: layer.extras), self)
    end

    # ===== Puma's names for what is called otherwise, or takes other values =====

    # With nothing the number comes from elsewhere, as from WEB_CONCURRENCY, which may be set and blank.
    def workers(count = nil)
      super unless count.to_s.strip.empty?
    end

    # Each call is an address more.
    def port(number, host = nil)
      return super unless @layer.key?(:port)

      host ||= default_host
      bind("tcp://#{host.include?(":") ? "[#{host.delete("[]")}]" : host}:#{number}")
    end

    # Forgets the addresses so far.
    def clear_binds! = %i[bind port].each { |name| @layer.delete(name) }

    # Puma's name for `host`.
    def set_default_host(host) = self.host(host)

    # The host of the ports to come.
    def default_host = @layer[:host]&.value || Configuration::Addresses.default_host

    # Puma's name for `refork_after`.
    def fork_worker(requests = PumaFlags::FORK_WORKER) = refork_after(requests)

    # Puma's time for requests in flight, after which it ends their threads.
    def force_shutdown_after(value = :forever)
      return shutdown_timeout(value == :immediately ? 0 : value) unless value == :forever

      ignore("force_shutdown_after", "requests have the time that the platform leaves before its KILL; shutdown_timeout sets another")
    end

    # All methods, unless a list is given.
    def supported_http_methods(methods)
      @layer.delete(:supported_http_methods)
      super unless methods == :any
    end

    # Puma takes a Float, of which Float::INFINITY is none, and with 0 closes every connection.
    def max_keep_alive(requests)
      super(requests == Float::INFINITY ? nil : whole(requests)) unless requests.nil?
    end

    # Puma's older name for `max_keep_alive`, which comes first.
    def max_fast_inline(requests)
      max_keep_alive(requests) unless @layer.key?(:max_keep_alive)
    end

    # Puma takes nil for none.
    def custom_logger(logger) = logger.nil? ? @layer.delete(:custom_logger) : super

    # Puma's without a block is none.
    def log_formatter(&block) = block ? super : @layer.delete(:log_formatter)

    # Puma's default is that of the connection.
    def rack_url_scheme(scheme = nil) = scheme ? super : @layer.delete(:rack_url_scheme)

    # Puma takes an empty one for none.
    def tag(text)
      text.to_s.empty? ? @warnings << "#{here}: tag is empty: the process title has the directory's name" : super
    end

    # Puma's older name for `fiber_per_request`.
    def clean_thread_locals(wanted = true) = fiber_per_request(wanted)

    # The control server is the admin listener here.
    def activate_control_app(url = "auto", options = {})
      PumaControl.new(@layer, here).activate(url, **options) { |reason| @warnings << "#{here}: activate_control_app: #{reason}" }
    end

    # Puma believes a header of any client; here it counts from proxies on this machine and on private networks, unless others are named.
    def set_remote_address(value = :socket)
      case value
      when :socket then %i[remote_address proxy_protocol].each { |name| @layer.delete(name) }
      when :localhost then remote_address("127.0.0.1")
      when String then remote_address(value)
      when Hash then believe(value)
      else raise ConfigurationError, "#{here}: set_remote_address cannot be #{value.inspect}"
      end
    end

    # ===== the file itself =====

    # The app, in the place of the rackup file.
    def app(app = nil, &block)
      app ||= block
      raise ConfigurationError, "#{here}: app needs a block, or an object with the method call" unless app.respond_to?(:call)

      @layer.app = app
    end

    # Evaluates the block as a part of the file.
    def inject(&block) = instance_eval(&block)

    # What the file has said of an option of Puma's.
    def get(key, default = nil) = @options[key] || default

    # Reads another file after this one.
    def load(file)
      path = File.expand_path(file)
      raise ConfigurationError, "#{here}: load: there is no file #{file}" unless File.file?(path)

      @warnings << "#{here}: load: #{file} is read after this file (Puma 8 leaves it out)"
      @loads << path
    end

    # Ruby's, and for what a file or a plugin requires of Puma itself where Puma is not.
    def require(path)
      super
    rescue LoadError
      raise unless path.match?(%r{\Apuma(?:/|\z)}) && PumaCompat.install

      super
    end

    # Puma's own are options here. Those of gems run as under Puma, which is then defined for them.
    def plugin(name)
      own = BUILT_IN[name.to_s]
      return instance_exec(&own) if own

      plugin = PumaCompat.plugin(name) { |reason| return leave_out(name, reason) }
      puma_compat(true)
      @new_plugins << plugin
      @layer.plugins << plugin
    end

    # Has each plugin say what it wants in the file. Puma does so when the file has been read.
    # @api private
    def offer_plugins
      evaluate { @new_plugins.each { |plugin| plugin.config(self) if plugin.respond_to?(:config) } }
      @new_plugins.clear
    end

    # Sets what the file assigns to @options, and returns whether there is such an option.
    # @api private
    def assign(key, value)
      name = { default_host: :host }.fetch(key) { PumaOptions::NAMES.fetch(key, key) }
      option = Configuration::OPTIONS[name]
      return public_send(key, value) || true if ABSENT.key?(key) || key == :app

      unless option&.file
        @warnings << "#{here}: @options[:#{key}] is kept for plugins, and changes nothing else here" if here?
        return false
      end

      @layer.delete(name) if option.many || value.nil?
      set(option, [value]) unless value.nil?
      true
    end

    # ===== what is not there =====

    ABSENT.each do |name, (reason, same)|
      define_method(name) do |*values, &block|
        value = values.empty? ? block || true : values.first
        ignore(name, reason) unless same.include?(value)
      end
    end

    private

    def ignore(name, reason) = @warnings << "#{here}: #{name} does nothing here: #{reason}"

    # A number of requests, of which Puma takes any form.
    def whole(number) = (float = Float(number, exception: false)) && float.finite? ? [float.ceil, 1].max : number

    def leave_out(name, reason)
      @left_out << name
      ignore("plugin :#{name}", reason)
    end

    def believe(value)
      version, header = value.values_at(:proxy_protocol, :header)
      if header
        name = header.to_s.tr("_", "-")
        forwarded_headers(name)
        trust("#{name} counts", name.match?(/\A(?:x-forwarded-for|forwarded)\z/i) ? FIRST_WORD : "")
      elsif version
        proxy_protocol(version.to_s.downcase)
        trust("the PROXY header counts", ", and other clients are refused")
      else
        raise ConfigurationError, "#{here}: set_remote_address cannot be #{value.inspect}: it knows header: and proxy_protocol:"
      end
    end

    def trust(what, more)
      return if @layer.key?(:trusted_proxies)

      trusted_proxies(*NEAR)
      @warnings << "#{here}: set_remote_address: #{what} from loopback and private addresses#{more}; trusted_proxies names others"
    end

    # A method that a plugin has added to the DSL of a Puma that is loaded, or may have, had it been.
    def method_missing(name, *)
      plugin = foreign(name)
      return ignore(name, "it is of the plugin #{plugin}, and extends the Puma that is loaded beside Tidegate") if plugin
      return super if @left_out.empty? || PumaDSL.method_defined?(name)

      ignore(name, "it may be of the plugin #{@left_out.join(" or ")}, which does nothing here")
    end

    def foreign(name)
      theirs = defined?(::Puma::DSL) && ::Puma::DSL
      return if !theirs || theirs.equal?(PumaDSL) || !theirs.method_defined?(name)

      theirs.instance_method(name).source_location&.first.to_s[%r{puma/plugin/([^/]+)\.rb\z}, 1]
    end

    def respond_to_missing?(*) = false
  end
end
