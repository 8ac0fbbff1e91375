# frozen_string_literal: true

# What becomes of encrypted connections when their server ends, or their worker leaves its cluster.

RSpec.describe "a TLS connection", :processes do
  # Long enough never to end by itself within an example.
  let(:endless) { 600 }

  def serve_tls(fixture, *, **) = serve(fixture, *, tls: true, **)

  # A handshake up to its first flight, which goes on when it is told to.
  def half_shaken(server)
    context = OpenSSL::SSL::SSLContext.new.tap { |it| it.verify_mode = OpenSSL::SSL::VERIFY_NONE }
    ssl = OpenSSL::SSL::SSLSocket.new(Wire.raw(server.address.sub("https", "tcp")), context)
    ssl.sync_close = true
    # A server that answers at once would have the handshake done.
    server.frozen { expect(ssl.connect_nonblock(exception: false)).to eq(:wait_readable) }
    server.catch_up
    TlsWire.new(ssl)
  end

  describe "in the drain delay" do
    it "is opened and served, and told to close" do
      server = serve_tls("drain.ru", "--drain-delay", endless)
      kept = server.connect
      kept.get("/")
      half = half_shaken(server)
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: draining/)

      half.shake_hands
      expect(half.get("/").status).to eq(200)
      expect(server.get("/")).to be_close # one that has come in the drain
      expect(kept.get("/")).not_to be_close # a tenth of the delay has not passed
    end
  end

  describe "after the drain delay" do
    def closing(server)
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: closing/)
    end

    it "is closed with close_notify when it is idle" do
      server = serve_tls("drain.ru", "--drain-delay", 0)
      kept = server.connect
      kept.get("/")
      closing(server)
      expect(kept).to be_eof
      expect(server.exit_status).to eq(0)
    end

    it "is answered when its request is in flight, and closed with close_notify" do
      server = serve_tls("drain.ru", "--drain-delay", 0)
      asking = server.connect.request("GET", "/wait")
      app = meet("wait")
      closing(server)
      app.release
      expect(asking.response).to be_close
      expect(asking).to be_eof
      expect(server.exit_status).to eq(0)
    end

    it "is opened and answered once when its handshake was under way" do
      server = serve_tls("drain.ru", "--drain-delay", 0, "--shutdown-timeout", endless)
      half = half_shaken(server)
      closing(server)
      half.shake_hands
      expect(half.get("/")).to be_close
      expect(half).to be_eof
      expect(server.exit_status).to eq(0)
    end

    it "is given up when its handshake does not go on" do
      server = serve_tls("drain.ru", "--drain-delay", 0, "--handshake-timeout", endless, "--shutdown-timeout", endless)
      half = half_shaken(server)
      closing(server)
      expect(server.exit_status).to eq(0)
      half.close
    end

    it "is cut without close_notify when the time is over" do
      server = serve_tls("drain.ru", "--drain-delay", 0, "--shutdown-timeout", 0.2)
      wire = server.connect.write("GET /stream HTTP/1.0\r\n\r\n")
      wire.read_until("beginning;")
      meet("stream")
      closing(server)
      expect(wire).to be_ended
      expect(wire).not_to be_eof
    end
  end

  describe "in a cluster" do
    # Asks on each, in turn. One on which nothing was said for a second, as a busy machine may have it, is cold, and may be closed by a
    # worker that leaves: that costs its client no request, which has not been taken up.
    def ask(server, wires)
      wires.map! do |wire|
        silent = Patience.now - asked.fetch(wire, Patience.now)
        response = wire.get("/")
        raise "status #{response.status}" unless response.status == 200

        asked[wire] = Patience.now
        response.close? ? server.connect : wire
      rescue HTTPResponse::Cut, SystemCallError => e
        raise if silent < 0.9 || !(e.is_a?(SystemCallError) || e.partial.to_s.empty?)

        server.connect
      end
    end

    def asked = @asked ||= {}.compare_by_identity

    it "is told to close when its worker leaves, and no request is lost" do
      server = cluster("--no-preload", tls: true)
      before = worker_pids(server)
      kept = Array.new(8) { server.connect }
      failures = Queue.new
      over = false
      asking = Thread.new do
        ask(server, kept) && ask(server, [server.connect]).each(&:close) until over
      rescue StandardError => e
        failures << e
      end
      server.signal(:USR1)
      before.each { |pid| wait_gone(pid) }
      over = true
      Patience.value_of(asking, "the asker")
      expect(Array.new(failures.size) { failures.pop }).to eq([])
    end

    # A resting connection asked again and again whether a sibling could have it.
    it "costs a worker that leaves nothing while it rests" do
      server = cluster("--no-preload", "--worker-shutdown-timeout", endless, tls: true)
      pid = worker_pids(server).first
      resting, waiting = Array.new(2) { connect_to(server, pid) }
      waiting.request("GET", "/wait")
      app = meet("wait")
      computed = ticks(pid)
      server.signal(:USR1)
      expect(resting).to be_eof
      expect(ticks(pid) - computed).to be < 30
      app.release
      expect(waiting.response).to be_close
      wait_gone(pid)
    end

    # What a process has computed, in hundredths of a second.
    def ticks(pid) = File.read("/proc/#{pid}/stat")[/\) (.*)/, 1].split.values_at(11, 12).sum { |ticks| Integer(ticks) }
  end
end
