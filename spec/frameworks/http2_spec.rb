# frozen_string_literal: true

# Whole apps over HTTP/2: nothing in them knows of it.

require "open3"

RSpec.describe "over HTTP/2,", :frameworks, :processes do
  def serve_example(name, *arguments, env: {})
    start("-o", "127.0.0.1", "-p", 0, "-C", "-", "-e", "production", *arguments, File.join(Frameworks::EXAMPLES, name, "config.ru"), env:).ready
  end

  def cookies(response) = response.headers.fetch("set-cookie", []).map { |cookie| cookie[/\A[^;]+/] }.join("; ")

  # What curl says of a request; its head and body as text.
  def curl(server, target, *options)
    needs_curl
    url = server.address.sub("tcp://", "http://") + target
    output, error, status = Open3.capture3("curl", "--http2-prior-knowledge", "--silent", "--show-error", "--include", "--max-time", "60", *options, url)
    raise "curl: #{error}" unless status.success?

    output.b
  end

  def needs_curl
    skip "without curl and its HTTP/2" unless `curl --version 2>&1`.include?("HTTP2")
  end

  describe "Rails" do
    # One boot for all of it: Rails takes its time.
    it "serves pages, forms, files, streams and Action Cable, all on one connection" do
      server = serve_rails
      client = server.connect(client: HTTP2Client)

      page = client.get("/")
      token = page.body[/name="authenticity_token" value="([^"]+)"/, 1]
      expect([page.status, page.body]).to match([200, /<h1>Notes<\/h1>/])
      expect(client.get("/nowhere").status).to eq(404)
      expect(client.ask("HEAD", "/").status).to eq(200)
      expect(client.get("/visits", { "cookie" => cookies(client.get("/visits")) }).body).to eq("visit 2")

      cable = WebSocket.open(client, "/cable", protocol: "actioncable-v1-json")
      expect(cable.message).to eq({ "type" => "welcome" })
      identifier = JSON.generate(channel: "NotesChannel")
      cable.command("subscribe", identifier)
      expect(cable.message).to eq({ "identifier" => identifier, "type" => "confirm_subscription" })

      # Another client's: the helper reads from the last stream of its client.
      other = server.connect(client: HTTP2Client)
      file = Random.new(4).bytes(300_000)
      form = "--b\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nwith a file\r\n" \
             "--b\r\nContent-Disposition: form-data; name=\"authenticity_token\"\r\n\r\n#{token}\r\n" \
             "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"data.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n".b + file + "\r\n--b--\r\n".b
      saved = other.post("/notes", form, { "content-type" => "multipart/form-data; boundary=b", "cookie" => cookies(page) })
      expect(saved.status).to eq(302)
      expect(cable.message["message"]).to include("text" => "with a file")
      sent = other.get("#{URI(saved["location"]).path}/attachment")
      expect([sent.body == file, sent["content-length"]]).to eq([true, "300000"])
      expect(other.get("/export").body.lines.last).to eq("10000,100000000\n")
      other.request("GET", "/ticks?wait=3600")
      expect(other.read_until("\n\n")).to include(%(data: {"tick":0}))
      other.abort

      expect(curl(server, "/up")).to start_with("HTTP/2 200")
      expect(curl(server, "/export")).to end_with("10000,100000000\n")
      expect(curl(server, "/", "--head")).to start_with("HTTP/2 200")
    end

    it "has Action Cable tell its clients to come back when the server drains, and closes in order" do
      server = serve_rails("--drain-delay", 1, "--termination-grace", 60)
      sockets = Array.new(3) { WebSocket.open(server.connect(client: HTTP2Client), "/cable", protocol: "actioncable-v1-json") }
      expect(sockets.map(&:message)).to all(eq({ "type" => "welcome" }))
      server.signal(:TERM)

      expect_sent_away(sockets, server)
    end

    it "streams a page with render stream: true, whose chunks are taken apart" do
      needs "railties", "actionpack", "actionview"
      server = serve("rails_stream.ru", env: { "RAILS_ENV" => "production" })
      client = server.connect(client: HTTP2Client)
      response = client.get("/page")

      expect([response.status, response.body]).to eq([200, "<html><p>first half</p><p>second half</p></html>"])
      client.request("GET", "/page?wait=1")
      meeting = meet("page")
      expect(client.read_until("<html>")).to eq("<html>")
      meeting.release
      expect(client.rest).to end_with("second half</p></html>")
    end
  end

  it "Sinatra serves pages and forms, streams and sends events" do
    needs "sinatra"
    server = serve_example("sinatra")
    client = server.connect(client: HTTP2Client)

    expect(client.get("/greet/%3Cyou%3E").body).to eq("<h1>Hello, &lt;you&gt;</h1>\n")
    expect(client.post("/sum", "a=1&b=41", { "content-type" => "application/x-www-form-urlencoded" }).body).to eq("42")
    expect(client.get("/events", { "accept" => "text/event-stream" }).body).to eq("data: first\n\ndata: second\n\n")
    client.request("GET", "/stream?wait=3600")
    expect(client.read_until("line 0\n")).to eq("line 0\n")
    client.abort
    expect(client.get("/").body).to eq("Hello from Sinatra\n")
    expect(curl(server, "/sum", "--data", "a=1&b=41")).to match(/\AHTTP\/2 200.*\r\n\r\n42\z/m)
  end

  it "streams of events arrive one by one" do
    server = serve_example("streaming", env: { "PAUSE" => "3600" })
    %w[/each /call].each do |path|
      client = server.connect(client: HTTP2Client)
      client.request("GET", path)

      expect(client.read_until("data: 0\n\n")).to include("data: 0")
      expect(client.head["content-type"]).to eq("text/event-stream")
    end
  end

  it "WebSockets echo, a hundred at once on one connection, none leaks, and all are closed in order when the server drains" do
    server = serve_example("websocket", "--drain-delay", 0.5, "--termination-grace", 60)
    client = server.connect(client: HTTP2Client)
    sockets = Array.new(99) { WebSocket.open(client.sibling, "/") }
    sockets.each_with_index { |socket, index| socket.send("message #{index}") }
    expect(sockets.map { |socket| socket.frame.payload }).to eq(Array.new(99) { |index| "message #{index}" })
    leaving = sockets.pop(50)
    leaving.each { |socket| socket.wire.abort }
    again = Array.new(50) { WebSocket.open(client.sibling, "/") }
    again.each { |socket| socket.send("again") }
    expect(again.map { |socket| socket.frame.payload }).to all(eq("again"))

    server.signal(:TERM)
    (sockets + again).each do |socket|
      expect(socket.frame.then { |frame| [frame.opcode, frame.status] }).to eq([:close, 1001])
      socket.send([1000].pack("n"), opcode: :close).wire.half_close
    end
    expect(server.exit_status).to eq(0)
    expect(server.output).to match(/hijacked=0 exit=0/)
  end
end
