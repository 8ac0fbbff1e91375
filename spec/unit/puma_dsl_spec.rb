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

  it "says of the plugin of Solid Queue where its jobs can run instead" do
    expect(resolve("plugin :solid_queue if true").warnings.last)
      .to end_with("plugin :solid_queue does nothing here: run its jobs as a process of their own: bin/jobs")
  end

  it "says what does nothing here, and names the hooks of workers in one line where there are none" do
    warnings = resolve(<<~RUBY).warnings.drop(1).map { |line| line[/\d+: .*/] }
      workers 0
      preload_app!
      on_worker_boot { raise "never" }
      before_fork { raise "never" }
      queue_requests false
      wait_for_less_busy_worker 0.1
      rack_url_scheme "https"
      single { persistent_timeout 20 }
    RUBY

    expect(warnings).to eq([
      "5: queue_requests does nothing here: requests are always received before the app is called",
      "6: wait_for_less_busy_worker does nothing here: a worker without room passes connections on to one that is idle",
      "7: rack_url_scheme does nothing here: Tidegate has no such option yet",
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

  it "serves no address without the PROXY protocol that is to have it" do
    expect { resolve("set_remote_address proxy_protocol: :v1") }
      .to raise_error(Tidegate::ConfigurationError, %r{config/puma\.rb:1: set_remote_address proxy_protocol: is written with the address here})
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
    text = "single { max_queue 1 }\ncluster { max_queue 2\n queue_requests true }\nworkers 2"
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

  it "refuses what cannot be left out" do
    { "inject { }" => "write its content without it", "app { }" => "the app comes from the rackup file",
      "load 'config/other.rb'" => "name each file with -C" }.each do |text, reason|
      expect { resolve("\n#{text}") }
        .to raise_error(Tidegate::ConfigurationError, %r{config/puma\.rb:2: \w+ cannot be left out: #{reason}\z})
    end
  end

  it "takes Puma's name for the host" do
    expect(resolve("set_default_host '127.0.0.1'\nport 3000").addresses).to eq(["tcp://127.0.0.1:3000"])
  end

  it "knows every name of the Puma that is installed" do
    file = Gem.path.flat_map { |path| Dir["#{path}/gems/puma-*/lib/puma/dsl.rb"] }.first or skip "there is no puma to compare with"
    inner = %w[self initialize _load_from _offer_plugins default_host add_pem_values_to_options_store process_hook
               warn_if_in_single_mode]
    # Puma 8 has some as other names of others.
    names = File.read(file).scan(/^    (?:def |alias_method :|alias )([\w!]+)/).flatten - inner
    ours = described_class.instance_methods.map(&:to_s)

    expect(names).to include("workers", "on_worker_boot", "plugin")
    expect(names - ours).to eq([])
  end

  it "comes after a file of our own, and an environment's before the general one" do
    expect(resolve("port 1", file: "config/tidegate.rb").warnings).to eq([])
    expect(resolve("port 2", file: "config/puma/development.rb")).to have_attributes(port: 2)
  end
end
