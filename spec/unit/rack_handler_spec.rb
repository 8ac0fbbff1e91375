# frozen_string_literal: true

require "rackup"
require "rackup/handler/tidegate"
require "support/fake_native"

RSpec.describe Tidegate::RackHandler do
  include FakeNative

  let(:handler) { Rackup::Handler.get("tidegate") }
  let(:app) { ->(_env) { [200, {}, []] } }

  # What rackup passes when its user has given no option.
  let(:rackup) do
    { environment: "development", pid: nil, Port: 9292, Host: "localhost", AccessLog: [], config: "/app/config.ru",
      server: "tidegate" }
  end

  # What Rails passes to `rails server -u tidegate`.
  let(:rails) do
    { user_supplied_options: [], server: "tidegate", log_stdout: true, Port: 3000, Host: "localhost",
      DoNotReverseLookup: true, config: "config.ru", environment: "development", daemonize: false,
      pid: "/app/tmp/pids/server.pid", caching: nil, restart_cmd: "bin/rails server  --restart", early_hints: nil }
  end

  before do
    allow(Process).to receive(:setproctitle)
    allow(handler).to receive(:exit)
    stub_const("ENV", {})
  end

  # Runs the handler with these options; the server stops as soon as it listens.
  def settings(**options)
    fake_native { |native| native.on_listen = -> { native.finish } }
    handler.run(app, silent: true, **options)
    fake_native.servers.last&.settings
  end

  def binds(**options) = settings(**options).fetch(:bind)

  it "is found by its name" do
    expect(handler.name).to eq "Rackup::Handler::Tidegate"
  end

  it "serves the app that rackup has made, and yields the server" do
    yielded = nil
    fake_native { |native| native.on_listen = -> { native.finish } }
    handler.run(app, silent: true, **rackup) { |server| yielded = server }
    expect(yielded).to be_a(Tidegate::Server)
    expect(fake_native.server.app).to be app
    expect(handler).not_to have_received(:exit)
  end

  it "takes its options in one Hash as well, as older versions of Rack pass them" do
    fake_native { |native| native.on_listen = -> { native.finish } }
    handler.run(app, { Port: "0", Host: "127.0.0.1", silent: true })
    expect(fake_native.server.settings[:bind]).to eq ["tcp://127.0.0.1:0"]
  end

  it "exits with the status of a drain that cut something off" do
    fake_native { |native| (native.status = 1) && native.on_listen = -> { native.finish } }
    handler.run(app, silent: true, **rackup)
    expect(handler).to have_received(:exit).with(1)
  end

  describe "under rackup" do
    it "listens where rackup would" do
      expect(binds(**rackup)).to eq ["tcp://localhost:9292"]
      expect(binds(**rackup, environment: "production", Host: "0.0.0.0")).to eq ["tcp://0.0.0.0:9292"]
    end

    it "listens where -o and -p say, whatever the environment says" do
      ENV["PORT"] = "5000"
      expect(binds(**rackup, Host: "127.0.0.1", Port: "3000")).to eq ["tcp://127.0.0.1:3000"]
    end

    it "prefers the environment to what rackup fills in" do
      ENV["PORT"] = "5000"
      expect(binds(**rackup)).to eq ["tcp://localhost:5000"]
    end

    it "listens on a Unix socket for a path as the host" do
      expect(binds(**rackup, Host: "/tmp/x.sock")).to eq ["unix:///tmp/x.sock?mode=0777"]
    end

    it "reads the text of -O by the kind of the option" do
      given = settings(**rackup, threads: "1:4", drain_delay: "3", write_timeout: "none", bind: "tcp://h:1,unix:///x")
      expect(given).to include(min_threads: 1, max_threads: 4, drain_delay: 3.0, write_timeout: nil,
                               bind: %w[tcp://h:1 unix:///x?mode=0777])
    end

    it "shows exceptions in rackup's development only" do
      settings(**rackup)
      expect(fake_native.server.delivery).to be_development
      settings(**rackup, environment: "deployment")
      expect(fake_native.server.delivery).not_to be_development
    end

    it "leaves to rackup what is rackup's" do
      theirs = { debug: true, warn: true, quiet: true, daemonize: true, builder: "x", include: [], require: [],
                 profile_mode: :cpu }
      expect { settings(**rackup, **theirs) }.not_to output.to_stderr
    end

    it "names the nearest option for one that does not exist" do
      expect { settings(**rackup, drain_dely: "3") }
        .to output("tidegate: unknown option drain_dely: did you mean drain_delay?\n").to_stderr
      expect(handler).to have_received(:exit).with(1)
    end

    it "says what is wrong with a value" do
      expect { settings(**rackup, threads: true) }
        .to output(/\Atidegate: option threads: threads cannot be true: it must be MIN:MAX/).to_stderr
    end

    it "lists its options" do
      expect(handler.valid_options).to include("Host=HOST", "Port=PORT", "threads=MIN:MAX", "drain_delay=SECONDS", "silent")
      expect(handler.valid_options.values).to all(be_a(String))
    end
  end

  describe "under rails server" do
    it "listens where Rails would" do
      expect(binds(**rails)).to eq ["tcp://localhost:3000"]
    end

    it "prefers what the user has said to the environment" do
      ENV["TIDEGATE_PORT"] = "5000"
      expect(binds(**rails)).to eq ["tcp://localhost:5000"]
      expect(binds(**rails, Port: 4000, user_supplied_options: [:Port])).to eq ["tcp://localhost:4000"]
    end

    it "prefers a bind to Rails' own address" do
      ENV["TIDEGATE_BIND"] = "unix:///x"
      expect(binds(**rails)).to eq ["unix:///x?mode=0777"]
    end
  end
end
