# frozen_string_literal: true

# What probes and preStop hooks are told of a drain, and what they may ask for.

RSpec.describe "probes", :processes do
  let(:endless) { 600 }

  it "on the app's addresses, where they are wanted there, close the connection and are no requests" do
    server = serve("drain.ru", "--drain-delay", endless, "--probe-paths")
    paths = %w[/livez /readyz /servingz /startupz]
    statuses = -> { paths.map { |path| server.get(path).status } }
    expect(statuses.call).to eq([200, 200, 200, 200])
    expect(server.get("/livez")).to be_close
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: draining/)
    expect(statuses.call).to eq([200, 503, 200, 200])
    expect(server.get("/readyz").body).to match(/\Adraining, serving everything for \d+\.\d s more\n\z/)
    server.signal(:TERM)

    expect(server.wait_for_line(/^tidegate: drain: done in .* requests=(?<requests>\d+) last_new_conn=(?<last>\S+)/).named_captures)
      .to eq("requests" => "0", "last" => "none")
  end

  it "are the app's own paths otherwise" do
    server = serve("drain.ru")
    expect(server.get("/readyz").body).to eq("hello\n")
  end

  it "of the app fail once the server is told to stop, where that is wanted, and go to the app before" do
    server = serve("drain.ru", "--drain-delay", endless, "--drain-fail-paths", "/up", "--drain-fail-paths", "/health")
    expect(%w[/up /health /].map { |path| server.get(path).body }).to eq(["hello\n"] * 3)
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: draining/)

    expect(%w[/up /health / /up/].map { |path| server.get(path).status }).to eq([503, 503, 200, 200])
    expect(server.get("/up").then { |it| [it["cache-control"], it.close?] }).to eq(["no-store", true])
  end

  it "are not taken for late connections, and say nothing about where requests are sent" do
    server = serve("drain.ru", "--drain-delay", 0.2)
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: draining/)
    begin
      loop { server.get("/", "User-Agent" => "kube-probe/1.36") }
    rescue Errno::ECONNREFUSED
      nil
    end
    expect(server.exit_status).to eq(0)
    expect(server.output).to match(/ last_new_conn=none late_conns=0 /)
    expect(server.output).not_to include("tidegate: late:")
  end
end

RSpec.describe "POST /drain", :processes do
  def ask(server, verb = "POST")
    Wire.open(server.admin) { |wire| wire.request(verb, "/drain").response }
  end

  it "begins a drain and answers when nothing new is served any more; the TERM that follows changes nothing" do
    server = serve("drain.ru", "--drain-delay", 600, "--admin", "tcp://127.0.0.1:0")
    hook = Thread.new { ask(server) }
    server.wait_for_line(/^tidegate: draining: asked to stop/)
    expect(server.get("/").status).to eq(200)
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: SIGTERM: the drain goes on as planned; one more signal ends the delay/)
    expect([server.get("/").status, hook.alive?]).to eq([200, true])
    wire = server.connect.request("GET", "/wait")
    slow = meet("wait")
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: closing: SIGTERM/)

    expect(Patience.value_of(hook).then { |it| [it.status, it.body] }).to eq([200, "drained: new connections are refused from now on\n"])
    slow.release("done")
    expect(wire.response.body).to eq("done")
    wire.close
    expect(server.exit_status).to eq(0)
  end

  it "is not begun by a GET" do
    server = serve("drain.ru", "--admin", "tcp://127.0.0.1:0")

    expect(ask(server, "GET").status).to eq(405)
    expect(server.get("/").status).to eq(200)
  end
end
