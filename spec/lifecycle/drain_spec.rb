# frozen_string_literal: true

# What a client sees of a server that is told to stop, and what the server says about it.

RSpec.describe "a server that gets TERM", :processes do
  # Long enough never to end by itself within an example.
  let(:endless) { 600 }

  describe "in the drain delay" do
    it "serves new connections" do
      server = serve("drain.ru", "--drain-delay", endless)
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: draining: SIGTERM/)

      3.times { expect(server.get("/").status).to eq(200) }
      expect(server.connect { |wire| wire.post("/echo", "x" * 200_000) }.body.bytesize).to eq(200_000)
    end

    it "tells balancers that it goes, and the kubelet that it serves, even while all Ruby threads are busy" do
      server = serve("drain.ru", "--drain-delay", endless, "--admin", "tcp://127.0.0.1:0", "-t", "1:1")
      probes = -> { %w[/livez /readyz /servingz].map { |path| server.probe(path) } }
      busy = server.connect.request("GET", "/wait")
      meet("wait")
      expect(probes.call).to eq([200, 200, 200])
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: draining/)
      expect(probes.call).to eq([200, 503, 200])
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: closing/)
      expect(probes.call).to eq([200, 503, 503])
      busy.close
    end

    # Ruby runs a trap only when it gets the GVL; the grace of the platform runs from the signal.
    it "begins with the signal, although an extension keeps Ruby from running its trap" do
      needs_gem "fiddle"
      server = serve("drain.ru", "--drain-delay", endless)
      wire = server.connect.request("GET", "/gvl")
      held = meet("gvl")
      server.signal(:TERM)
      expect(server.wait_for_line(/^tidegate: draining: SIGTERM/)).to be_truthy
      held.release
      expect(wire.response.body).to eq("held")
      3.times { expect(server.get("/").status).to eq(200) }
      expect(server.output).not_to include("closing")
      server.signal(:TERM)
      expect(server.wait_for_line(/^tidegate: closing: SIGTERM/)).to be_truthy
      expect(server.exit_status).to eq(0)
    end

    it "keeps idle connections, and asks their clients to leave only once a while has passed" do
      server = serve("drain.ru", "--drain-delay", endless)
      wire = server.connect
      wire.get("/")
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: draining/)

      expect(wire.get("/")).not_to be_close # a tenth of the delay has not passed
      expect(wire.get("/")).not_to be_close
    end

    it "tells every connection to close that comes in it" do
      server = serve("drain.ru", "--drain-delay", endless)
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: draining/)

      expect(server.get("/")).to be_close
    end

    it "tells connections from before it to close, long before it is over" do
      server = serve("drain.ru", "--drain-delay", 8)
      wire = server.connect
      wire.get("/")
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: draining/)
      response = Patience.until_true("a response that says close") { wire.get("/").then { |it| it if it.close? } }

      expect(response.status).to eq(200)
      expect(wire).to be_eof
      expect(server.output).not_to include("closing")
    end

    it "is cut short by a second signal" do
      server = serve("drain.ru", "--drain-delay", endless)
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: draining: SIGTERM/)
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: closing: SIGTERM/)

      expect(server.exit_status).to eq(0)
    end

    it "ends by itself, and then the process, with status 0" do
      server = serve("drain.ru", "--drain-delay", 0.3)
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: closing: time is up/)

      expect(server.exit_status).to eq(0)
    end

    it "is skipped by INT" do
      server = serve("drain.ru", "--drain-delay", endless)
      server.signal(:INT)
      server.wait_for_line(/^tidegate: closing: SIGINT.*; Ctrl-C again cuts what is left$/)

      expect(server.exit_status).to eq(0)
      expect(server.output).not_to include("draining")
    end

    it "is the same for QUIT" do
      server = serve("drain.ru", "--drain-delay", endless)
      server.signal(:QUIT)
      server.wait_for_line(/^tidegate: draining: SIGQUIT/)
      server.signal(:QUIT)

      expect(server.exit_status).to eq(0)
    end
  end

  describe "after the drain delay" do
    it "refuses new connections, and finishes what is in flight" do
      server = serve("drain.ru")
      wire = server.connect.request("GET", "/wait")
      slow = meet("wait")
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: listeners closed/)
      expect { server.connect }.to raise_error(Errno::ECONNREFUSED)
      slow.release("finished")
      response = wire.response

      expect([response.status, response.body, response.close?]).to eq([200, "finished", true])
      expect(wire).to be_eof
      wire.close
      expect(server.exit_status).to eq(0)
    end

    it "has served each connection or refused it, with nothing between" do
      server = serve("drain.ru", "--drain-delay", 0.3)
      port = server.port
      clients = Array.new(4) do
        Thread.new do
          outcomes = []
          loop do
            outcomes << Wire.open("tcp://127.0.0.1:#{port}") { |wire| wire.get("/").status }
          rescue Errno::ECONNREFUSED
            break outcomes
          rescue StandardError => error
            break outcomes << error
          end
        end
      end
      server.signal(:TERM)
      outcomes = clients.flat_map { |client| Patience.value_of(client) }

      expect(outcomes.uniq).to eq([200])
      expect(server.exit_status).to eq(0)
    end

    it "finishes a stream that has begun" do
      server = serve("drain.ru")
      wire = server.connect.request("GET", "/stream")
      wire.read_until("beginning;")
      stream = meet("stream")
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: listeners closed/)
      stream.release

      expect(wire.rest).to end_with("3\r\nend\r\n0\r\n\r\n")
      wire.close
      expect(server.exit_status).to eq(0)
    end

    it "finishes a large response that the client takes its time to read" do
      server = serve("drain.ru")
      wire = server.connect(receive_buffer: 4096).request("GET", "/large")
      wire.read_until("\r\n\r\n")
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: listeners closed/)

      expect(wire.bytes(5_000_000).bytesize).to eq(5_000_000)
      wire.close
      expect(server.exit_status).to eq(0)
    end

    it "cuts a stream that is not done when the time is up, so that the client can see it, and ends with status 1" do
      server = serve("drain.ru", "--shutdown-timeout", 0.3)
      wire = server.connect.request("GET", "/stream")
      meet("stream")
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: forcing: time is up/)

      expect { wire.response }.to raise_error(HTTPResponse::Cut) { |cut| expect(cut.partial).to eq("beginning;") }
      expect(server.exit_status).to eq(1)
      expect(server.output).to match(/^tidegate: drain: done in .* cut=1 .*exit=1/)
    end

    it "answers 503 to a request that is not done when the time is up, and ends with status 1" do
      server = serve("drain.ru", "--shutdown-timeout", 0.3)
      wire = server.connect.request("GET", "/wait")
      meet("wait")
      server.signal(:TERM)
      response = wire.response

      expect([response.status, response["retry-after"], response.close?]).to eq([503, "1", true])
      wire.close
      expect(server.exit_status).to eq(1)
    end

    it "is forced to its end by a third signal" do
      server = serve("drain.ru", "--drain-delay", endless)
      wire = server.connect.request("GET", "/wait")
      meet("wait")
      %w[draining closing forcing].each do |phase|
        server.signal(:TERM)
        server.wait_for_line(/^tidegate: #{phase}: SIGTERM/)
      end

      expect(wire.response.status).to eq(503)
      wire.close
      expect(server.exit_status).to eq(1)
    end

    it "is forced to its end by a second INT" do
      server = serve("drain.ru")
      wire = server.connect.request("GET", "/wait")
      meet("wait")
      %w[closing forcing].each do |phase|
        server.signal(:INT)
        server.wait_for_line(/^tidegate: #{phase}: SIGINT/)
      end

      expect(wire.response.status).to eq(503)
      wire.close
      expect(server.exit_status).to eq(1)
    end

    it "says what one more signal would do" do
      server = serve("drain.ru")
      server.connect.request("GET", "/wait")
      slow = meet("wait")
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: closing/)
      server.signal(:TERM)

      expect(server.wait_for_line(/^tidegate: SIGTERM: still finishing .* one more signal cuts it/)).to be_truthy
      slow.release
    end
  end

  it "says in the end what the drain did, and when the last new connection came" do
    server = serve("drain.ru", "--drain-delay", endless)
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: draining: SIGTERM; serving everything new for 600\.0 s \(0 connections open, 0 requests in flight\)/)
    3.times { server.get("/") }
    server.signal(:TERM)
    summary = server.wait_for_line(/^tidegate: drain: done in (?<took>[\d.]+)s \(delay (?<delay>[\d.]+)s.*\) (?<counts>.*)$/)

    expect(summary[:counts]).to match(/\Anew_conns=3 requests=3 last_new_conn=\d+\.\ds late_conns=0 told_close=3 idle_closed=0 rejected_503=0 cut=0 unacked_bytes=0 hijacked=0 exit=0/)
    expect(server.exit_status).to eq(0)
  end

  it "ends with 0 after its app has started 200 processes" do
    server = serve("drain.ru", "--drain-delay", endless)
    expect(server.get("/processes").body).to match(/\A{true ?=> ?200}\z/) # Ruby 3.4 has spaces
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: draining/)
    expect(server.get("/").status).to eq(200)
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
  end

  it "runs the app's at_exit after the last response, and leaves signals of its own handling to it" do
    server = serve("at_exit.ru")
    wire = server.connect.request("GET", "/wait")
    slow = meet("wait")
    server.wait_for_line(/^tidegate: the app has trapped TERM; its handler is not used/)
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: closing/)
    slow.release("last")

    expect(wire.response.body).to eq("last")
    wire.close
    expect(server.exit_status).to eq(0)
    expect(server.output).to match(/drain: done.*^at_exit of the app$/m)
    expect(server.output).not_to include("handler of the app")
  end

  it "does not wait for threads of the app" do
    server = serve("threads.ru")
    expect(server.get("/").status).to eq(200)
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
  end

  it "ends at once while all its Ruby threads wait" do
    server = serve("drain.ru", "-t", "4:4")
    server.signal(:INT)

    expect(server.exit_status).to eq(0)
  end
end
