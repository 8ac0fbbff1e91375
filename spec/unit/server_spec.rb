# frozen_string_literal: true

require "support/fake_native"

RSpec.describe Tidegate::Server do
  include FakeNative

  let(:app) { ->(_env) { [200, {}, []] } }
  let(:servers) { [] }

  after do
    fake_native.servers.each(&:finish)
    servers.each { |server| server.join(5) }
  end

  def server(**options)
    described_class.new(app, silent: true, **options).tap { |server| servers << server }
  end

  it "binds, starts its workers and listens" do
    started = server(host: "127.0.0.1", port: 0, min_threads: 1).start
    expect(fake_native.server.calls).to eq %i[bind listen]
    expect(fake_native.server.next_worker).to be_alive
    expect(started).to have_attributes(addresses: ["tcp://127.0.0.1:40123"], port: 40_123, phase: :ready)
  end

  it "gives the native side the app and every setting of the contract" do
    server(bind: "tcp://127.0.0.1:0", threads: "1:4", head_timeout: nil, shutdown_timeout: 7,
           admin: "tcp://127.0.0.1:0").start
    expect(fake_native.server.app).to be app
    expect(fake_native.server.settings).to eq(
      bind: ["tcp://127.0.0.1:0"], admin: "tcp://127.0.0.1:0", min_threads: 1, max_threads: 4, max_queue: 1024,
      queue_timeout: nil, time_slice: 40, idle_thread_timeout: 30.0, tls_reload_interval: 10.0, handshake_timeout: 10.0, first_data_timeout: 30.0, head_timeout: nil, body_timeout: 60.0, persistent_timeout: 65.0, write_timeout: 60.0,
      receive_timeout: nil, lingering_timeout: 2.0, min_data_rate: 500, min_data_rate_grace: 20.0, max_connections: :auto, max_keep_alive: nil, buffer_limit: 67_108_864,
      http_content_length_limit: nil, body_memory_limit: nil, head_limit: 114_688, header_fields_limit: 1000,
      http2: true, http2_max_concurrent_streams: 100, http2_max_pending_resets: 20, http2_max_error_resets: 1024, drain_delay: :auto, shutdown_timeout: 7.0,
      termination_grace: :auto, prestop: 0.0, early_hints: false, stream_input: false,
      allow_underscore_headers: :auto, request_id: false, request_start: false,
      log_requests: false, log_format: :combined, drain_until_quiet: false, drain_fail_paths: [], probe_paths: false, trusted_proxies: [], forwarded_headers: [], strip_forwarded: false, remote_address: nil, liveness_timeout: 60.0,
      termination_log: nil, admin_token: nil, admin_hosts: [], platform: :plain, spool_directory: "/tmp",
      hand_over: true, request_timeout: nil, worker_shutdown_timeout: 30.0, inherit: []
    )
  end

  # The options of a server within a process had no effect where it was given a log, and what they do not do was said by the command alone.
  it "logs in the way of its options where it is given a log, and what options do not do" do
    out, err = StringIO.new, StringIO.new
    lines = []
    logger = Struct.new(:lines) { def write(text) = lines << text }.new(lines)
    servers << described_class.new(app, log: Tidegate::Log.new(out:, err:, silent: true), custom_logger: logger, max_requests: 5,
                                        before_worker_boot: -> {}, log_format: "json").start
    expect(fake_native.server.relayed).to eq([true, true])
    expect(err.string.lines.map { |line| JSON.parse(line)["message"] }).to contain_exactly(
      "Tidegate::Server: before_worker_boot does nothing here: there are no workers",
      "Tidegate::Server: max_requests does nothing here: there are no workers"
    )
    expect(out.string).to eq ""
  end

  it "gives it what the app's side needs beside the settings" do
    server.start
    expect(fake_native.server).to have_attributes(
      log: nil, errors: an_instance_of(Integer), delivery: an_instance_of(Tidegate::Delivery), hijacked: an_instance_of(Tidegate::Hijacked),
      env_template: a_hash_including("rack.multithread" => true, "tidegate.draining" => an_object_responding_to(:call))
    )
  end

  it "shows its settings on the admin listener, and has a thread for commands there" do
    server.start
    server(admin: "tcp://127.0.0.1:0", admin_token: "0123456789abcdef").start
    expect(fake_native.servers.first.shown_settings).to be_nil
    expect(fake_native.servers.last.shown_settings).to include('"name":"admin"', "(secret)")
    expect(fake_native.servers.last.shown_settings).not_to include("0123456789")
    expect(Thread.list.map(&:name).count("tidegate control")).to eq(1)
  end

  it "has what is set as steering carry out the commands" do
    started = server(admin: "tcp://127.0.0.1:0")
    started.steering = ->(command) { [true, "#{command} it is"] }
    native = started.start && fake_native.server
    native.questions << [5, "restart"]
    expect(Patience.pop(native.answers)).to eq([5, :done, '{"status":"ok","message":"restart it is"}'])
  end

  it "leaves the shutdown timeout to the native side unless it is set" do
    server.bind
    expect(fake_native.server.settings).to include(shutdown_timeout: :auto, max_threads: 32)
  end

  it "gives the native side the descriptor of its log, unless it is to be silent" do
    described_class.new(app, log: Tidegate::Log.new(out: STDOUT)).bind
    server(silent: true).bind
    expect(fake_native.servers.map(&:log)).to eq [1, nil]
  end

  it "tells the native side how many threads there may be, once the app is loaded" do
    server(max_threads: 7).start
    expect(fake_native.server.max_threads).to eq 7
  end

  it "stops as INT does" do
    server.start.stop
    expect(fake_native.server.calls.last).to eq [:stop, false]
  end

  it "stops as TERM does when it is to drain" do
    server.start.stop(drain: true)
    expect(fake_native.server.calls.last).to eq [:stop, true]
  end

  it "has nothing to stop or wait for before it starts" do
    unstarted = server
    unstarted.stop
    expect(unstarted.join).to be true
    expect(unstarted).to have_attributes(addresses: [], port: nil, phase: :booting, stats: {}, admin_address: nil)
  end

  it "waits no longer than it is told to" do
    expect(server.start.join(0.01)).to be false
  end

  it "has ended when its workers have" do
    started = server(min_threads: 2).start
    workers = Array.new(2) { fake_native.server.next_worker }
    started.stop
    expect(started.join(5)).to be true
    expect(workers.map(&:alive?)).to eq [false, false]
    expect(started).not_to be_stuck
  end

  it "is stuck when the app keeps a worker after a forced stop" do
    stub_const("Tidegate::Server::FORCED_GRACE", 0.01)
    fake_native { |native| native.status = 1 }
    started = server(min_threads: 1).start
    held = Queue.new
    fake_native.server.jobs << -> { held << true && Queue.new.pop }
    held.pop
    started.stop
    started.join
    expect(started).to be_stuck
    expect(started.exit_status).to eq 1
  end

  it "ends its workers when it cannot listen" do
    worker = nil
    fake_native do |native|
      native.on_listen = -> { (worker = native.next_worker) && raise(Tidegate::BindError, "in use") }
    end
    expect { server(min_threads: 1).start }.to raise_error(Tidegate::BindError, "in use")
    expect(worker.join(5)).to be worker
  end

  it "is started once where several threads try" do
    begun = server(min_threads: 1)
    outcomes = Array.new(4) { Thread.new { begun.start && :started rescue :refused } }.map(&:value) # rubocop:disable Style/RescueModifier
    expect(outcomes.tally).to eq(started: 1, refused: 3)
  end

  # A child waited for ever for threads that a fork does not have.
  it "has stopped in a child of the process that has started it" do
    started = server.start
    allow(Process).to receive(:pid).and_return(Process.pid + 1)
    expect([started.phase, started.join, started.stop, fake_native.server.calls]).to eq([:stopped, true, nil, %i[bind listen]])
    RSpec::Mocks.space.proxy_for(Process).reset
  end

  it "is started once" do
    started = server.start
    expect { started.start }.to raise_error(Tidegate::Error, /can be started once/)
  end

  it "lives beside others" do
    first, second = server.start, server.start
    first.stop
    expect(first.join(5)).to be true
    expect(second.phase).to eq :ready
  end

  it "refuses an option that does not exist" do
    expect { server(thread: 5) }.to raise_error(Tidegate::ConfigurationError, "unknown option thread: did you mean threads?")
  end
end
