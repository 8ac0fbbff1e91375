# frozen_string_literal: true

require "tmpdir"

RSpec.describe Tidegate::PumaDSL do
  # Resolves a configuration in a directory with this config/puma.rb.
  def resolve(text, file: "config/puma.rb", **)
    Dir.mktmpdir do |directory|
      path = File.join(directory, file)
      FileUtils.mkdir_p(File.dirname(path))
      File.write(path, text)
      flags = Tidegate::Configuration::Layer.new
      flags.set(Tidegate::Configuration::OPTIONS[:directory], directory, "--dir")
      Tidegate::Configuration.resolve(flags:, **)
    end
  end

  it "understands the file that Rails generates" do
    text = File.read(File.expand_path("../../examples/rails/config/puma.rb", __dir__))
    configuration = resolve(text)

    expect(configuration).to have_attributes(min_threads: 3, max_threads: 3, port: 3000, pidfile: nil, restart_file: "tmp/restart.txt")
    expect(configuration.warnings).to match([
      %r{config/puma\.rb is used, as there is no config/tidegate\.rb\z}
    ])
  end

  it "says of a plugin that it is in no gem, and of its words that they may be the plugin's" do
    configuration = resolve("plugin :no_such_plugin\nplugin :systemd\nno_such_mode :async")
    expect(configuration.warnings.drop(1)).to match([
      %r{config/puma\.rb:1: plugin :no_such_plugin does nothing here: no gem here has puma/plugin/no_such_plugin\z},
      %r{config/puma\.rb:3: no_such_mode does nothing here: it may be of the plugin no_such_plugin, which does nothing here\z}
    ])
    expect([configuration.plugins, configuration.puma_compat, Object.const_defined?(:Puma)]).to eq([[], false, false])
  end

  it "says what does nothing here, and names the hooks of workers in one line where there are none" do
    warnings = resolve(<<~RUBY).warnings.drop(1).map { |line| line[/\d+: .*/] }
      workers 0
      preload_app!
      on_worker_boot { raise "never" }
      before_fork { raise "never" }
      queue_requests false
      wait_for_less_busy_worker 0.1
      io_selector_backend :epoll
      max_io_threads 3
      single { persistent_timeout 20 }
    RUBY

    expect(warnings).to match([
      "5: queue_requests does nothing here: requests are always received before the app is called",
      "6: wait_for_less_busy_worker does nothing here: a worker without room passes connections on to one that is idle or has less to do",
      "7: io_selector_backend does nothing here: the waiting is done in Rust",
      "8: max_io_threads does nothing here: a request that waits does not count as one that runs",
      "4: before_fork and before_worker_boot do nothing here: there are no workers"
    ])
    expect(resolve("silence_fork_callback_warning\non_worker_boot { 1 }").warnings.size).to eq(1)
  end

  it "takes the client from a header where Puma does, but from proxies that are near only" do
    configuration = resolve(%(set_remote_address header: "X-Real-IP"))
    expect(configuration).to have_attributes(forwarded_headers: ["X-Real-IP"], trusted_proxies: %w[loopback private unix])
    expect(configuration.warnings.last).to end_with("X-Real-IP counts from loopback and private addresses; trusted_proxies names others")
    named = resolve(%(trusted_proxies "10.0.0.0/8"\nset_remote_address header: "X-Real-IP"))
    expect(named).to have_attributes(trusted_proxies: ["10.0.0.0/8"])
    expect(resolve("set_remote_address :socket").warnings.size).to eq(1)
  end

  it "says of an empty tag what the process title has then" do
    expect(resolve('tag ""')).to have_attributes(tag: nil, warnings: [/ is used/, /:1: tag is empty: the process title has the directory's name/])
  end

  it "says nothing of values that ask for what is so anyway" do
    text = <<~RUBY
      queue_requests true
      drain_on_shutdown
      raise_exception_on_sigterm false
      prune_bundler false
      max_io_threads 0
      max_keep_alive Float::INFINITY
      io_selector_backend :auto
    RUBY
    expect(resolve(text).warnings.size).to eq(1)
  end

  it "says of X-Forwarded-For which address counts, as Puma takes one that clients write" do
    configuration = resolve(%(set_remote_address header: "X_FORWARDED_FOR"))
    expect(configuration.forwarded_headers).to eq(["X-FORWARDED-FOR"])
    expect(configuration.warnings.last).to include("the last that is no proxy's, where Puma takes the first, which clients can write")
  end

  it "has every address take the PROXY header that the file asks for, but where the address says otherwise" do
    configuration = resolve(<<~RUBY)
      set_remote_address proxy_protocol: :v1
      bind "tcp://127.0.0.1:1"
      bind "unix:///run/app.sock?proxy_protocol=false&mode=0777"
      port 2, "127.0.0.1"
      port 3
    RUBY
    expect(configuration.addresses).to eq(["tcp://127.0.0.1:1?proxy_protocol=v1", "unix:///run/app.sock?proxy_protocol=false&mode=0777",
                                           "tcp://127.0.0.1:3?proxy_protocol=v1", "tcp://127.0.0.1:2?proxy_protocol=v1"])
    expect(configuration).to have_attributes(trusted_proxies: %w[loopback private unix])
    expect(configuration.warnings.last).to end_with("the PROXY header counts from loopback and private addresses, and other clients are refused; " \
                                                    "trusted_proxies names others")
    expect { resolve("set_remote_address proxy_protocol: :v3") }.to raise_error(Tidegate::ConfigurationError, /proxy_protocol cannot be "v3"/)
    expect { resolve("set_remote_address other: 1") }.to raise_error(Tidegate::ConfigurationError, /it knows header: and proxy_protocol:/)
  end

  it "tells the app another scheme and address, allows methods, and closes connections, where Puma does" do
    configuration = resolve(<<~RUBY)
      rack_url_scheme "https"
      set_remote_address :localhost
      supported_http_methods Puma::Const::SUPPORTED_HTTP_METHODS + ["PROPFIND"]
      enable_keep_alives false
      clean_thread_locals
      force_shutdown_after 7
      idle_timeout 60
    RUBY
    expect(configuration).to have_attributes(rack_url_scheme: "https", remote_address: "127.0.0.1", enable_keep_alives: false,
                                             fiber_per_request: true, shutdown_timeout: 7.0)
    expect(configuration.supported_http_methods).to include("GET", "PROPFIND")
    undone = resolve("supported_http_methods ['GET']\nsupported_http_methods :any\nset_remote_address 'x'\nset_remote_address :socket")
    expect([undone.supported_http_methods, undone.remote_address]).to eq([[], nil])
  end

  it "takes the formatter and the logger of the app, as they are" do
    configuration = resolve("log_formatter { |line| line.upcase }\ncustom_logger $stdout")
    expect(configuration.log_formatter.call("x")).to eq("X")
    expect(configuration.custom_logger).to be($stdout)
    expect($stdout).not_to be_frozen
    undone = resolve("log_formatter { 1 }\nlog_formatter\ncustom_logger $stdout\ncustom_logger nil")
    expect([undone.log_formatter, undone.custom_logger]).to eq([nil, nil])
    # A String took each line for ever, and none was printed.
    expect { resolve("custom_logger 'log/puma.log'") }.to raise_error(Tidegate::ConfigurationError, /custom_logger cannot be "log.puma\.log"/)
    expect { resolve("custom_logger 3.5") }.to raise_error(Tidegate::ConfigurationError, /custom_logger cannot be 3.5: it must be an object with the method write or <</)
  end

  it "keeps a connection for as many requests as Puma, whatever it is called" do
    limits = { "max_keep_alive 20" => 20, "max_keep_alive 2.5" => 3, "max_keep_alive 0" => 1, "max_fast_inline 7" => 7,
               "max_keep_alive 20\nmax_fast_inline 7" => 20, "max_keep_alive Float::INFINITY" => nil, "max_keep_alive nil" => nil }
    expect(limits.keys.to_h { |text| [text, resolve(text).max_keep_alive] }).to eq(limits)
    expect { resolve("max_keep_alive 'often'") }.to raise_error(Tidegate::ConfigurationError, /puma\.rb:1: max_keep_alive cannot be "often"/)
  end

  it "has what the file has said in @options, and what others have in @config.options" do
    env = { "TIDEGATE_MAX_QUEUE" => "9" }
    configuration = resolve(<<~RUBY, env:)
      workers 3
      bind "tcp://127.0.0.1:1"
      state_path "x"
      fork_worker 5
      found = [@options[:workers], @options.fetch(:max_threads, 4), get(:workers, 0), get("max_queue"), @options[:binds], @options[:state],
               @options[:fork_worker], @options.key?(:workers), @options.key?(:tag), @options.dig(:workers), @options.all_of(:workers), @options[:single]]
      found += [@config.options[:max_queue], @config.options[:worker_timeout], @config.options[:workers], @config.environment, @config.options.fetch(:x, 1)]
      tag found.inspect
      @options[:max_threads] = 6
      @options[:binds] = ["tcp://127.0.0.1:2"]
      @options[:queue_requests] = false
      @options[:own] = 1
      @config.events.after_booted { 7 }
      max_queue 20 if @options[:own] == 1
    RUBY
    expect(configuration.tag).to eq([3, 4, 3, nil, ["tcp://127.0.0.1:1"], "x", 5, true, false, 3, [3], nil, 9, 60.0, 3, "development", 1].inspect)
    expect(configuration).to have_attributes(max_threads: 6, addresses: ["tcp://127.0.0.1:2"], max_queue: 9)
    expect(configuration.after_booted.map(&:call)).to eq([7])
    expect(configuration.warnings.drop(1)).to match([/:11: queue_requests does nothing here/, /:12: @options\[:own\] is kept for plugins, and changes nothing else here/])
  end

  it "takes an app, blocks of the file, helpers that get the file, and constants of Puma's, which it does not define" do
    configuration = resolve(<<~RUBY)
      require "puma/const" if false
      def configure(file) = file.max_queue(3)
      configure(self)
      inject { threads 1, 2 }
      rackup DefaultRackup
      tag Puma::Const::VERSION if Gem::Version.new(Puma::Const::VERSION) >= Gem::Version.new("7")
      app { |env| env }
    RUBY
    expect(configuration).to have_attributes(max_queue: 3, max_threads: 2, rackup: "config.ru", tag: "8.0.2")
    expect(configuration.app.call(1)).to eq(1)
    expect(Object.const_defined?(:Puma)).to be(false)
    expect { resolve("app 3") }.to raise_error(Tidegate::ConfigurationError, /:1: app needs a block, or an object with the method call/)
  end

  it "reads the files after it that it loads, and says that Puma does not" do
    Dir.mktmpdir do |directory|
      File.write("#{directory}/more.rb", %(max_queue 7\nload "#{directory}/more.rb"\nqueue_requests false))
      configuration = resolve(%(load "#{directory}/more.rb"\nmax_queue 5))
      expect(configuration.max_queue).to eq(7)
      expect(configuration.warnings.drop(1)).to match([/:1: load: .*more.rb is read after this file \(Puma 8 leaves it out\)/, /more.rb:2: load: /,
                                                       /more.rb:3: queue_requests does nothing/])
    end
    expect { resolve("load 'no/file.rb'") }.to raise_error(Tidegate::ConfigurationError, %r{:1: load: there is no file no/file\.rb})
  end

  it "forgets addresses, and knows the default host" do
    text = %(port 1\nbind "tcp://127.0.0.1:2"\nclear_binds!\nset_default_host "127.0.0.1"\nbind "tcp://\#{default_host}:3?low_latency=true&backlog=5"\nbind "unix:/run/x")
    expect(resolve(text).addresses).to eq(["tcp://127.0.0.1:3?backlog=5", "unix:///run/x?mode=0777"])
    said = resolve('bind "tcp://127.0.0.1:1?low_latency=false"')
    expect(said.warnings.last).to end_with("config/puma.rb:1: low_latency=false changes nothing: what is written is sent at once")
    expect(resolve("bind 'tcp://[::1]:1'\nport 2, '::1'\nport 3, '::1'").addresses).to eq(["tcp://[::1]:1", "tcp://[::1]:3", "tcp://[::1]:2"])
  end

  # What a file of that name, given by -C, comes to.
  def named(name, text)
    Dir.mktmpdir do |directory|
      File.write("#{directory}/#{name}", text)
      flags = Tidegate::Configuration::Layer.new
      flags.set(Tidegate::Configuration::OPTIONS[:config], ["#{directory}/#{name}"], "-C")
      Tidegate::Configuration.resolve(flags:)
    end
  end

  it "is the language of a file of any name that has a word of Puma's, once, and says so" do
    text = "before_worker_boot { 1 }\nworkers 2\nqueue_requests false"
    configuration = named("web.rb", text)
    expect(configuration.before_worker_boot.size).to eq(1)
    expect(configuration.warnings).to match([%r{/web.rb:3: queue_requests is a word of Puma's, so that the file is read in Puma's language\z},
                                             /web.rb:3: queue_requests does nothing here/])
    expect(named("puma_web.rb", text).warnings.size).to eq(1)
    expect(named("web.rb", "workers @options.fetch(:x, 2)").warnings).to match([/web.rb is read in Puma's language, as it names @options\z/])
    expect(named("web.rb", "# Puma::Const\nworkers 0").warnings).to eq([])
    expect { named("web.rb", "no_word 3") }.to raise_error(Tidegate::ConfigurationError, /:1: unknown option no_word/)
  end

  it "takes all that Puma has for workers" do
    configuration = resolve(<<~RUBY)
      workers ENV.fetch("NO_SUCH_VARIABLE", 2)
      preload_app! false
      fork_worker
      worker_timeout 30
      worker_check_interval 2
      worker_culling_strategy :oldest
      silence_single_worker_warning
      state_path "tmp/state"
      state_permission 0o640
      stdout_redirect "log/out", "log/err", true
      bind_to_activated_sockets "only"
      restart_command "bundle exec puma"
      out_of_band { 1 }
      on_restart { 2 }
      before_fork { 3 }
    RUBY

    expect(configuration).to have_attributes(workers: 2, preload_app: false, refork_after: [1000], worker_timeout: 30.0,
                                             worker_check_interval: 2.0, worker_culling_strategy: :oldest, state_permission: 0o640,
                                             redirect_append: true, bind_to_activated_sockets: :only, restart_command: "bundle exec puma")
    expect(configuration.warnings.size).to eq(1)
    expect(configuration.state_path).to end_with("/tmp/state")
    expect([configuration.redirect_stdout, configuration.redirect_stderr]).to match([%r{\A/.*/log/out\z}, %r{\A/.*/log/err\z}])
    expect(configuration.before_restart.map(&:call)).to eq([2])
  end

  it "leaves the number of workers to the environment where the file has none for it" do
    env = { "WEB_CONCURRENCY" => "3" }
    expect(resolve("workers ENV['NO_SUCH_VARIABLE']", env:).workers).to eq 3
    expect(resolve("workers ''", env: { "WEB_CONCURRENCY" => " " }).workers).to eq 0
    expect(resolve("workers :auto")).to be_cluster
  end

  it "evaluates the blocks of a mode when all else is, and only where it is" do
    text = "single { max_queue 1 }\ncluster { max_queue 2\n queue_requests false }\nworkers 2"
    expect(resolve(text)).to have_attributes(max_queue: 2, warnings: [/ is used/, /:3: queue_requests does nothing/])
    expect(resolve(text.sub("workers 2", "")).max_queue).to eq 1
    expect(resolve(text, env: { "WEB_CONCURRENCY" => "0" }).max_queue).to eq 1
  end

  it "names the line of what is wrong in such a block, and takes no number of workers there that would undo it" do
    expect { resolve("single do\n  port :x\nend") }.to raise_error(Tidegate::ConfigurationError, %r{config/puma\.rb:2: port cannot be :x})
    expect { resolve("single { workers 2 }") }
      .to raise_error(Tidegate::ConfigurationError, %r{config/puma\.rb:1: workers cannot be set in a block that depends on it \(single\)})
  end

  it "makes the admin listener of the control server" do
    configuration = resolve('activate_control_app "tcp://127.0.0.1:9394", auth_token: "0123456789abcdef"')
    expect([configuration.admin.to_s, configuration.admin_token, configuration.warnings.size]).to eq ["tcp://127.0.0.1:9394", "0123456789abcdef", 1]
    short = resolve('activate_control_app "tcp://127.0.0.1:9394", { auth_token: "12345" }')
    expect([short.admin_token, short.warnings.last]).to match([nil, /activate_control_app: the token is left out, so that nothing can be changed/])
    expect(resolve('activate_control_app "unix://tmp/ctl.sock", { auth_token: "12345" }').warnings.size).to eq 1
    unix = resolve('activate_control_app "unix://tmp/ctl.sock", no_token: true, umask: 0o117, data_only: true')
    expect(unix.admin.to_s).to match(%r{\Aunix:///.*/tmp/ctl\.sock\?umask=0117\z})
    expect(unix.warnings.last).to match(/activate_control_app: data_only changes nothing/)
  end

  { "on_booted" => :after_booted, "on_stopped" => :after_stopped, "on_thread_start" => :before_thread_start,
    "on_thread_exit" => :before_thread_exit, "on_worker_boot" => :before_worker_boot, "on_worker_shutdown" => :before_worker_shutdown,
    "on_worker_fork" => :before_worker_fork, "after_worker_boot" => :after_worker_fork, "on_refork" => :before_refork,
    "on_restart" => :before_restart }.each do |old, name|
    it "takes #{name}, also as #{old}" do
      configuration = resolve("workers 2\n#{name} { 1 }\n#{old} { 2 }")

      expect(configuration.public_send(name).map(&:call)).to eq([1, 2])
      expect(configuration.warnings.size).to eq(1)
    end
  end

  it "reports what is no name of Puma's either" do
    expect { resolve("thread 1, 2") }.to raise_error(Tidegate::ConfigurationError, /unknown option thread: did you mean threads\?/)
  end

  it "takes Puma's name for the host" do
    expect(resolve("set_default_host '127.0.0.1'\nport 3000").addresses).to eq(["tcp://127.0.0.1:3000"])
  end

  it "takes Puma's variables for threads behind those of Rails, and says of others that they do nothing" do
    env = { "PUMA_MIN_THREADS" => "2", "MAX_THREADS" => "9", "PUMA_SKIP_SYSTEMD" => "1", "PUMA_LOG_CONFIG" => "1" }
    configuration = resolve("threads 1, 1", env:)
    expect(configuration).to have_attributes(min_threads: 2, max_threads: 9)
    expect(configuration.warnings).to include(a_string_starting_with("the environment variable PUMA_LOG_CONFIG does nothing here: "),
                                              a_string_starting_with("the environment variable PUMA_SKIP_SYSTEMD does nothing here: "))
    expect(resolve("", env: env.merge("RAILS_MAX_THREADS" => "4")).max_threads).to eq(4)
  end

  it "comes after a file of our own, and an environment's before the general one" do
    expect(resolve("port 1", file: "config/tidegate.rb").warnings).to eq([])
    expect(resolve("port 2", file: "config/puma/development.rb")).to have_attributes(port: 2)
  end
end
