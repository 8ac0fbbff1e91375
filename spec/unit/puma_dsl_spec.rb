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

  it "says what does nothing here, and is silent about what does nothing in Puma's single mode" do
    warnings = resolve(<<~RUBY).warnings.drop(1).map { |line| line[/\d+: .*/] }
      workers 0
      preload_app!
      on_worker_boot { raise "never" }
      workers ENV.fetch("WEB_CONCURRENCY", 2)
      queue_requests false
      activate_control_app "auto"
      single { persistent_timeout 20 }
    RUBY

    expect(warnings).to eq([
      "4: workers does nothing here: one process serves; cluster mode is not there yet",
      "5: queue_requests does nothing here: requests are always received before the app is called",
      "6: activate_control_app does nothing here: Tidegate has no such option yet"
    ])
  end

  { "on_booted" => :after_booted, "on_stopped" => :after_stopped, "on_thread_start" => :before_thread_start,
    "on_thread_exit" => :before_thread_exit }.each do |old, name|
    it "takes #{name}, also as #{old}" do
      configuration = resolve("#{name} { 1 }\n#{old} { 2 }")

      expect(configuration.public_send(name).map(&:call)).to eq([1, 2])
      expect(configuration.warnings.size).to eq(1)
    end
  end

  it "reports what is no name of Puma's either" do
    expect { resolve("thread 1, 2") }.to raise_error(Tidegate::ConfigurationError, /unknown option thread: did you mean threads\?/)
  end

  it "refuses what cannot be left out" do
    { "ssl_bind '0.0.0.0', 443" => "TLS is not supported yet", "app { }" => "the app comes from the rackup file",
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
