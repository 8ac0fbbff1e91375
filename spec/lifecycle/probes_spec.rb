# frozen_string_literal: true

# What probes and preStop hooks are told of a drain, and what they may ask for.

require "tmpdir"

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
  token = "0123456789abcdef"

  def ask(server, verb = "POST", **headers)
    headers = headers.transform_keys { |name| name.to_s.tr("_", "-") }
    Wire.open(server.admin) { |wire| wire.request(verb, "/drain", { "host" => "localhost", **headers }).response }
  end

  # A server with its admin address on a Unix socket.
  def serve_on_socket(query = "", *arguments)
    path = File.join(Dir.mktmpdir("tidegate"), "admin.sock")
    yield serve("drain.ru", "--admin", "unix://#{path}#{query}", *arguments), path
  ensure
    FileUtils.rm_rf(File.dirname(path))
  end

  it "begins a drain and answers when nothing new is served any more; the TERM that follows changes nothing" do
    server = serve("drain.ru", "--drain-delay", 600, "--admin", "tcp://127.0.0.1:0", env: { "TIDEGATE_ADMIN_TOKEN" => token })
    hook = Thread.new { ask(server, authorization: "Bearer #{token}") }
    server.wait_for_line(/^tidegate: asked to drain by 127\.0\.0\.1:\d+$/)
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

  # To be on the same host was enough: for a page in a browser, an app that fetches URLs, and a mesh's sidecar.
  it "is begun over TCP by no client without the token, and by no page of a browser with it" do
    directory = Dir.mktmpdir("tidegate")
    File.write("#{directory}/token", "#{token}\n")
    server = serve("drain.ru", "--admin", "tcp://127.0.0.1:0", "--admin-token-file", "#{directory}/token")
    bearer = { authorization: "Bearer #{token}" }
    refused = [ask(server), ask(server, authorization: "Bearer #{token.succ}"), ask(server, **bearer, origin: "null"),
               ask(server, **bearer, sec_fetch_site: "same-origin"), ask(server, **bearer, host: "rebound.example")]

    expect(refused.map(&:status)).to eq([401, 401, 403, 403, 403])
    expect(refused.first["www-authenticate"]).to eq('Bearer realm="tidegate"')
    server.wait_for_line(/^tidegate: refused to drain for 127\.0\.0\.1:\d+: this changes the server and needs the admin_token/)
    expect(server.probe("/readyz")).to eq(200)
    expect(server.output).not_to include(token)
  ensure
    FileUtils.rm_rf(directory)
  end

  it "is begun by no client over TCP where there is no token, and the answer says what helps" do
    server = serve("drain.ru", "--admin", "tcp://127.0.0.1:0")
    answer = ask(server, authorization: "Bearer ")

    expect([answer.status, answer.body]).to match([403, /set admin_token_file or admin_token .* or make admin a Unix socket\n\z/])
    expect(server.probe("/readyz")).to eq(200)
  end

  it "is for those who may open the Unix socket of the admin address: at first this user alone" do
    serve_on_socket("", "--drain-delay", 0) do |server, path|
      expect(server.probe("/livez")).to eq(200)
      expect(File.stat(path).mode & 0o777).to eq(0o600)
      expect(ask(server, origin: "http://evil.example").status).to eq(403)
      expect(ask(server).status).to eq(200)
      expect(server.exit_status).to eq(0)
      expect(server.output).to match(/^tidegate: asked to drain by process #{Process.pid} of user #{Process.uid} on the Unix socket$/)
      expect(Dir.children(File.dirname(path))).to be_empty
    end
    serve_on_socket("?mode=0660") { |_, path| expect(File.stat(path).mode & 0o777).to eq(0o660) }
  end
end

RSpec.describe "/metrics and /stats", :processes do
  # DNS rebinding: the page's own name points to 127.0.0.1 meanwhile.
  it "are not for a page that has come by a foreign name, and for monitoring by any name" do
    server = serve("drain.ru", "--admin", "tcp://127.0.0.1:0", "--admin-hosts", "ops.example")
    browser = { "user-agent" => "Mozilla/5.0", "accept-language" => "en" }
    status = ->(path, host, more = {}) { Wire.open(server.admin) { |wire| wire.get(path, { "host" => host, **more }).status } }

    %w[/metrics /stats].each do |path|
      expect(%w[evil.example:9394 localhost:9394 127.0.0.1 ops.example].map { |host| status.call(path, host, browser) })
        .to eq([403, 200, 200, 200])
      expect(%w[shop-metrics.shop.svc:9394 10.1.2.3:9394 web-1.example.com].map { |host| status.call(path, host) }).to eq([200] * 3)
    end
    expect(status.call("/livez", "evil.example", browser)).to eq(200)
  end
end
