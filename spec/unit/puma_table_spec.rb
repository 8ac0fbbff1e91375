# frozen_string_literal: true

require "tmpdir"
require "stringio"

# The table of docs/from-puma.md, held to the names of the Puma that is installed, and to what the configuration does with each.
RSpec.describe "docs/from-puma.md" do
  page = File.read(File.expand_path("../../docs/from-puma.md", __dir__))
  rows = page.scan(/^\| (`[^|]+) \| (carried out|said) \| /).flat_map { |names, how| names.scan(/`([^`]+)`/).flatten.map { |name| [name, how] } }
  table = rows.to_h

  # A use of each name of Puma's in a file.
  uses = {
    "activate_control_app" => 'activate_control_app "tcp://127.0.0.1:9394"', "app" => "app { |_env| 1 }", "bind" => 'bind "tcp://127.0.0.1:1?low_latency=true"',
    "bind_to_activated_sockets" => 'bind_to_activated_sockets "only"', "clear_binds!" => %(bind "tcp://127.0.0.1:1"\nclear_binds!\nport 2),
    "cluster" => "workers 2\ncluster { max_queue 3 }", "single" => "single { max_queue 3 }", "custom_logger" => "custom_logger $stdout",
    "debug" => "debug", "default_host" => %(set_default_host "127.0.0.1"; bind "tcp://" + default_host + ":3"), "set_default_host" => 'set_default_host "127.0.0.1"',
    "directory" => 'directory "/"', "drain_on_shutdown" => "drain_on_shutdown false", "early_hints" => "early_hints", "enable_keep_alives" => "enable_keep_alives false",
    "environment" => 'environment "test"', "extra_runtime_dependencies" => 'extra_runtime_dependencies ["x"]', "fiber_per_request" => "fiber_per_request",
    "clean_thread_locals" => "clean_thread_locals", "first_data_timeout" => "first_data_timeout 3", "force_shutdown_after" => "force_shutdown_after 3",
    "fork_worker" => "fork_worker", "get" => "workers 3\nmax_queue get(:workers, 0)", "http_content_length_limit" => "http_content_length_limit 3",
    "idle_timeout" => "idle_timeout 3", "inject" => "inject { max_queue 3 }", "io_selector_backend" => "io_selector_backend :epoll", "load" => 'load "other.rb"',
    "log_formatter" => "log_formatter { |line| line }", "log_requests" => "log_requests", "quiet" => "quiet false", "lowlevel_error_handler" => "lowlevel_error_handler { 1 }",
    "max_fast_inline" => "max_fast_inline 3", "max_keep_alive" => "max_keep_alive 3", "max_io_threads" => "max_io_threads 3",
    "mutate_stdout_and_stderr_to_sync_on_write" => "mutate_stdout_and_stderr_to_sync_on_write false", "persistent_timeout" => "persistent_timeout 3",
    "pidfile" => 'pidfile "x"', "plugin" => "plugin :tmp_restart", "port" => "port 3", "preload_app!" => "preload_app! false", "prune_bundler" => "prune_bundler",
    "queue_requests" => "queue_requests false", "rack_url_scheme" => 'rack_url_scheme "https"', "rackup" => 'rackup "x.ru"',
    "raise_exception_on_sigterm" => "raise_exception_on_sigterm", "restart_command" => 'restart_command "x"', "set_remote_address" => 'set_remote_address "1.2.3.4"',
    "shutdown_debug" => "shutdown_debug", "silence_fork_callback_warning" => "silence_fork_callback_warning",
    "silence_single_worker_warning" => "silence_single_worker_warning", "ssl_bind" => 'ssl_bind "127.0.0.1", 3, cert: "x", key: "y"', "state_path" => 'state_path "x"',
    "state_permission" => "state_permission 0o640", "stdout_redirect" => 'stdout_redirect "x"', "supported_http_methods" => 'supported_http_methods ["GET"]',
    "tag" => 'tag "x"', "threads" => "threads 3, 3", "wait_for_less_busy_worker" => "wait_for_less_busy_worker", "worker_boot_timeout" => "worker_boot_timeout 3",
    "worker_check_interval" => "worker_check_interval 3", "worker_culling_strategy" => "worker_culling_strategy :oldest",
    "worker_shutdown_timeout" => "worker_shutdown_timeout 3", "worker_timeout" => "worker_timeout 30", "workers" => "workers 2"
  }
  # All others are hooks.
  use = ->(name) { uses.fetch(name) { "silence_fork_callback_warning\n#{name} { 1 }" } }

  # What a file with this text comes to.
  def resolve(text)
    Dir.mktmpdir do |directory|
      %w[puma.rb other.rb].zip([text, "max_queue 3"]) { |name, content| File.write("#{directory}/#{name}", content) }
      flags = Tidegate::Configuration::Layer.new
      flags.set(Tidegate::Configuration::OPTIONS[:config], ["#{directory}/puma.rb"], "-C")
      Dir.chdir(directory) { Tidegate::Configuration.resolve(flags:) }
    end
  end

  # The values that a configuration has, for comparing.
  def values(configuration)
    names = Tidegate::Configuration::OPTIONS.reject { |_, option| option.stands_for }.keys - [:config]
    names.to_h { |name| [name, configuration.public_send(name)] }.merge(app: configuration.app, addresses: configuration.addresses)
  end

  # The names of Puma's language, read from the gem.
  def puma_names
    file = (Gem.path.flat_map { |path| Dir["#{path}/gems/puma-*/lib/puma/dsl.rb"] } + Dir["#{peer}/gems/puma-8*/lib/puma/dsl.rb"]).last or
      skip "there is no puma to compare with"
    inner = %w[self initialize _load_from _offer_plugins add_pem_values_to_options_store process_hook warn_if_in_single_mode]
    File.read(file).scan(/^    (?:def |alias_method :|alias )([\w!]+)/).flatten - inner
  end

  def peer = IO.popen([File.expand_path("../../bin/peer-gems", __dir__), "--cached", "puma8"], err: File::NULL, &:read).chomp

  # What an empty file comes to.
  def nothing = @nothing ||= values(resolve(""))

  it "has every name of Puma's language, once: none is unknown" do
    expect(rows.map(&:first)).to eq(rows.map(&:first).uniq)
    expect(puma_names - table.keys).to eq([])
    expect(table.keys - puma_names).to eq([]) unless peer.empty?
    counts = table.values.tally
    RSpec.configuration.reporter.message("Puma's names: #{counts["carried out"]} carried out, #{counts["said"]} said, 0 unknown, 0 silent")
  end

  table.each do |name, how|
    it "says of #{name} that it is #{how}, as it is" do
      configuration = resolve(use.call(name))
      idle = configuration.warnings.grep(/\b#{name} does nothing here: /)

      if how == "said"
        expect([idle.size, values(configuration)]).to eq([1, nothing])
      else
        expect(idle).to eq([])
        expect(values(configuration)).not_to eq(nothing)
      end
    end
  end

  it "has every flag of Puma's" do
    file = Dir["#{peer}/gems/puma-8*/lib/puma/cli.rb"].first or skip "there is no Puma 8 to compare with"
    theirs = File.read(file).scan(/o\.on(?:_tail)? (.*)/).flatten.flat_map { |line| line.scan(/["'](-{1,2}(?:\[no-\])?[A-Za-z][\w-]*)/).flatten }
    flags = page[/^## The command line$.*?^## /m].scan(/`(-[^`]+)`/).flatten

    expect(theirs.map { |flag| flag.sub("[no-]", "") } - flags).to eq([])
    expect(flags.size).to be > 40
  end
end
