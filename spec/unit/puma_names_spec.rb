# frozen_string_literal: true

require "tmpdir"

RSpec.describe Tidegate::PumaNames do
  let(:layer) { Tidegate::Configuration::Layer.new }

  # Evaluates the text as the file config/puma.rb, and returns what is said about it.
  def load(text)
    Dir.mktmpdir do |directory|
      path = File.join(File.realpath(directory), "config/puma.rb")
      FileUtils.mkdir_p(File.dirname(path))
      File.write(path, text)
      Dir.chdir(directory) { Tidegate::DSL.load(path, layer) }
    end
  end

  # What Rails 7.2 and 8 generate, without the comments.
  let(:generated) { <<~RUBY }
    threads_count = ENV.fetch("RAILS_MAX_THREADS_OF_THE_SPEC", "3")
    threads threads_count, threads_count
    port ENV.fetch("PORT_OF_THE_SPEC", "3000")
    plugin :tmp_restart
    plugin :solid_queue if true
    pidfile "tmp/server.pid"
  RUBY

  it "understands the file that Rails generates" do
    said = load(generated)
    expect(%i[min_threads max_threads port pidfile].map { |name| layer[name].value }).to eq [3, 3, 3000, "tmp/server.pid"]
    expect(said).to eq [
      "config/puma.rb:4: plugin :tmp_restart is not loaded: Puma's plugins are not supported yet",
      "config/puma.rb:5: plugin :solid_queue is not loaded: Puma's plugins are not supported yet"
    ]
  end

  {
    "workers 2" => "workers changes nothing: there is one process, which forks no workers",
    "workers :auto" => "workers changes nothing: there is one process, which forks no workers",
    "preload_app!" => "preload_app! changes nothing: there is one process, which forks no workers",
    "worker_timeout 3600" => "worker_timeout changes nothing: there is one process, which forks no workers",
    "on_worker_boot { raise }" => "on_worker_boot changes nothing: its block is not run: nothing forks here",
    "before_fork { raise }" => "before_fork changes nothing: its block is not run: nothing forks here",
    "on_booted { raise }" => "on_booted changes nothing: its block is not run: there is no such hook yet",
    "after_stopped { raise }" => "after_stopped changes nothing: its block is not run: there is no such hook yet",
    "activate_control_app 'auto', no_token: true" =>
      "activate_control_app changes nothing: there is no control server yet; `admin` answers the probes",
    "state_path 'tmp/state'" => "state_path changes nothing: there is no control server yet; `admin` answers the probes",
    "force_shutdown_after 20" =>
      "force_shutdown_after changes nothing: drain_delay and shutdown_timeout say how the server stops"
  }.each do |text, sentence|
    it "passes over #{text}, with one line" do
      expect(load("\n#{text}\nport 3000")).to eq ["config/puma.rb:2: #{sentence}"]
      expect(layer[:port].value).to eq 3000
    end
  end

  ["workers 0", "workers '0'", "workers nil", "preload_app! false", "raise_exception_on_sigterm false"].each do |text|
    it "says nothing of #{text}, which is so anyway" do
      expect(load(text)).to eq []
    end
  end

  {
    "\nprot 3000" => "config/puma.rb:2: unknown option prot: did you mean port?",
    "worker 2" => /\Aconfig\/puma.rb:1: unknown option worker: /,
    "on_worker_boott { }" => /\Aconfig\/puma.rb:1: unknown option on_worker_boott: /,
    "ssl_bind '0.0.0.0', 443" => "config/puma.rb:1: ssl_bind cannot be passed over: TLS is not supported yet",
    "bind 'ssl://h:1'" => %(config/puma.rb:1: bind cannot be "ssl://h:1": TLS is not supported yet),
    "\napp { }" => "config/puma.rb:2: app cannot be passed over: the app comes from the rackup file"
  }.each do |text, message|
    it "refuses #{text.inspect}" do
      expect { load(text) }.to raise_error(Tidegate::ConfigurationError, message)
    end
  end

  it "knows Puma's files by their places" do
    expect(%w[config/puma.rb /app/config/puma.rb /app/config/puma/production.rb]).to all(satisfy { |path| described_class.file?(path) })
    expect(%w[config/tidegate.rb puma.rb /app/notconfig/puma.rb /app/config/puma.rb.old])
      .to all(satisfy { |path| !described_class.file?(path) })
  end

  it "knows every name of the Puma that is installed" do
    dsl = Gem.path.flat_map { |path| Dir["#{path}/gems/puma-*/lib/puma/dsl.rb"] }.first or skip "without puma there is nothing to compare"
    # What belongs to plugins, or takes part of another file.
    inner = %w[self initialize _load_from _offer_plugins inject get load default_host
               add_pem_values_to_options_store process_hook warn_if_in_single_mode]
    names = File.read(dsl).scan(/^    def ([\w!]+)/).flatten - inner
    ours = Tidegate::DSL.public_instance_methods(false).map(&:to_s)
    known = described_class::PASSED_OVER.keys + described_class::REFUSED.keys + %i[plugin]

    expect(names - ours - known.map(&:to_s)).to eq []
  end
end
