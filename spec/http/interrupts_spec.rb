# frozen_string_literal: true

require "timeout"

RSpec.describe "a Ruby thread of the server", :in_process do
  def serve_hello(**) = run_server(**) { |_env| [200, { "content-type" => "text/plain" }, ["hello"]] }

  # A thread that waits for a request.
  def waiting_worker(server)
    wait_for_stat(server, :idle_workers, 1)
    workers.first
  end

  describe "that waits for a request" do
    it "ends at once when it is killed, and another takes its place" do
      server = serve_hello(threads: "1:1")
      3.times do
        worker = waiting_worker(server)
        expect(worker.kill.join(Patience::SECONDS)).to be(worker)
        expect(get(server, "/").body).to eq("hello")
      end
    end

    it "ends at once when an exception is raised in it, and another takes its place" do
      server = serve_hello(threads: "1:1")
      3.times do
        worker = waiting_worker(server)
        worker.raise(RuntimeError, "from outside")
        expect(worker.join(Patience::SECONDS)).to be(worker)
        expect(get(server, "/").body).to eq("hello")
      end
      expect(errors.wait_for(/^tidegate: worker 1 was ended by RuntimeError: from outside; another takes its place/)).to be_truthy
    end

    it "may be one of many that are killed while requests come in, of which none is lost" do
      server = serve_hello(threads: "4:4")
      killer = Thread.new { 8.times { workers.sample&.then { |worker| worker.status == "sleep" && worker.kill.join(Patience::SECONDS) } } }
      statuses = []
      statuses << get(server, "/").status while killer.alive?

      # A request that runs when its thread is killed is an error of the app; none is left without an answer.
      expect(statuses.uniq - [200, 500]).to be_empty
      expect(get(server, "/").status).to eq(200)
    end

    it "does not keep a Timeout from coming to its end in the thread that waits for the server" do
      server = serve_hello

      expect { Timeout.timeout(0.05) { server.join } }.to raise_error(Timeout::Error)
      expect(get(server, "/").body).to eq("hello")
    end

    it "does not keep others from running" do
      serve_hello(threads: "4:4")
      count = 0
      counting = Thread.new { 100_000.times { count += 1 } }

      expect(Patience.value_of(counting)).to eq(100_000)
    end
  end

  describe "that waits for a client which does not read" do
    let(:events) { Queue.new }

    # An app that writes without end at /stall; +around+ is called with the writing.
    def stalling(around)
      told = events
      body = Object.new
      body.define_singleton_method(:each) do |&out|
        told << Thread.current
        around.call(-> { loop { out.call("x" * 500_000) } })
      end
      # A rescue between the kill of a thread and its end used to crash the process.
      body.define_singleton_method(:close) do
        raise "an error of its own"
      rescue RuntimeError
        told << :closed
      end
      run_server(threads: "1:1", write_timeout: nil) do |env|
        [200, { "content-type" => "text/plain" }, env["PATH_INFO"] == "/stall" ? body : ["next"]]
      end
    end

    def stalled_client(server) = connect(server, receive_buffer: 4096).tap { |wire| wire.request("GET", "/stall") }

    # The thread is in its wait when neither it nor its server gets any further.
    def stalled(thread)
      Patience.until_true("the thread to wait") { thread.stop? && Array.new(20) { Thread.pass || thread.stop? }.all? }
      thread
    end

    it "is told by Timeout, which the app handles" do
      server = stalling(->(writing) { Timeout.timeout(0.3) { writing.call } rescue events << $!.class }) # rubocop:disable Style/RescueModifier
      wire = stalled_client(server)

      expect(Patience.pop(events)).to be_a(Thread)
      expect(Patience.pop(events, "the timeout")).to be(Timeout::Error)
      expect(Patience.pop(events)).to eq(:closed)
      expect(get(server, "/next").body).to eq("next")
      wire.close
    end

    it "is told by Timeout, and its response is cut when the app does not handle it" do
      server = stalling(->(writing) { Timeout.timeout(0.3) { writing.call } })
      wire = stalled_client(server)

      expect(Patience.pop(events)).to be_a(Thread)
      expect(Patience.pop(events, "the body to be closed")).to eq(:closed)
      expect(get(server, "/next").body).to eq("next")
      expect { wire.response }.to raise_error(HTTPResponse::Cut)
      expect(errors.wait_for(/^tidegate: GET \/stall raised Timeout::Error: .*, after the response had begun/)).to be_truthy
    end

    it "ends at once when it is killed, the body is closed, the response cut" do
      server = stalling(->(writing) { writing.call })
      wire = stalled_client(server)
      worker = stalled(Patience.pop(events))

      expect(worker.kill.join(Patience::SECONDS)).to be(worker)
      expect(Patience.pop(events)).to eq(:closed)
      expect(get(server, "/next").body).to eq("next")
      expect { wire.response }.to raise_error(HTTPResponse::Cut)
    end

    it "hears of an exception that is raised in it at once" do
      server = stalling(->(writing) { writing.call rescue events << $!.message }) # rubocop:disable Style/RescueModifier
      stalled_client(server)
      stalled(Patience.pop(events)).raise("from outside")

      expect(Patience.pop(events)).to eq("from outside")
      expect(Patience.pop(events)).to eq(:closed)
      expect(get(server, "/next").body).to eq("next")
    end
  end

  it "that is killed while it runs the app leaves 500 behind, or an end, and no hanging client" do
    entered = Queue.new
    server = run_server(threads: "1:1") do |env|
      if env["PATH_INFO"] == "/"
        entered << Thread.current
        Queue.new.pop
      end
      [200, { "content-type" => "text/plain" }, ["next"]]
    end
    wire = connect(server)
    wire.request("GET", "/")
    Patience.pop(entered).kill

    expect(wire.response.status).to eq(500)
    expect(get(server, "/next").body).to eq("next")
  end

  it "can be stopped by Timeout in the app, as rack-timeout does, without harm to the next request" do
    server = run_server(threads: "1:1") do |env|
      Timeout.timeout(0.1) { Queue.new.pop } if env["PATH_INFO"] == "/"
      [200, { "content-type" => "text/plain" }, ["next"]]
    end
    wire = connect(server)

    expect(wire.get("/").status).to eq(500)
    expect(wire.get("/next").body).to eq("next")
  end
end
