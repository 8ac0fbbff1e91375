# frozen_string_literal: true

Protocols.describe("the Rack env", :in_process) do
  # Serves the request that the block makes with the client, and returns the env that the app got.
  def env_from(**options)
    envs = Queue.new
    @server = run_server(**options) do |env|
      envs << env.dup
      [200, { "content-type" => "text/plain" }, ["ok"]]
    end
    expect(yield(connect(@server)).status).to eq(200)
    Patience.pop(envs)
  end

  def env_for(target, headers = {}, method: "GET", body: nil, **)
    env_from(**) { |client| client.ask(method, target, headers, body:) }
  end

  # Of a request given as bytes of HTTP/1.
  def env_of(bytes) = env_from { |client| client.write(bytes).response }

  it "has what Rack asks for" do
    env = env_for("/")

    expect(env).to include(
      "REQUEST_METHOD" => "GET", "SCRIPT_NAME" => "", "PATH_INFO" => "/", "QUERY_STRING" => "",
      "SERVER_NAME" => "example.org", "SERVER_PORT" => "80", "SERVER_PROTOCOL" => http2? ? "HTTP/2" : "HTTP/1.1",
      "rack.url_scheme" => "http", "HTTP_HOST" => "example.org"
    )
    expect(env["rack.errors"]).to respond_to(:puts, :write, :flush)
    expect(env["rack.input"].read).to eq("")
  end

  it "splits path and query, and keeps both as they were sent" do
    env = env_for("/a%20b/%C3%A4;c?x=%26&y=%C3%A4&z")

    expect(env["PATH_INFO"]).to eq("/a%20b/%C3%A4;c")
    expect(env["QUERY_STRING"]).to eq("x=%26&y=%C3%A4&z")
    expect(env["REQUEST_URI"]).to eq("/a%20b/%C3%A4;c?x=%26&y=%C3%A4&z")
  end

  it "keeps an encoded slash and double slashes" do
    expect(env_for("//a%2Fb//c")["PATH_INFO"]).to eq("//a%2Fb//c")
  end

  it "has an empty query for a target that ends in a question mark" do
    expect(env_for("/a?")).to include("PATH_INFO" => "/a", "QUERY_STRING" => "")
  end

  it "tells the client's address" do
    env = env_for("/")

    expect(env["REMOTE_ADDR"]).to eq("127.0.0.1")
    expect(env["REMOTE_PORT"]).to eq(wires.last.socket.local_address.ip_port.to_s)
  end

  describe "headers" do
    it "are keys in capitals with HTTP_ in front" do
      expect(env_for("/", { "X-Request-Id" => "7", "accept" => "*/*" })).to include("HTTP_X_REQUEST_ID" => "7", "HTTP_ACCEPT" => "*/*")
    end

    it "for the body's type and length have no HTTP_" do
      env = env_for("/", { "content-type" => "text/plain" }, method: "POST", body: "hi")

      expect(env).to include("CONTENT_TYPE" => "text/plain", "CONTENT_LENGTH" => "2")
      expect(env).not_to include("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")
    end

    it "that are repeated are joined with commas, in their order" do
      expect(env_for("/", { "x-forwarded-for" => %w[1.1.1.1 2.2.2.2 3.3.3.3] })["HTTP_X_FORWARDED_FOR"]).to eq("1.1.1.1, 2.2.2.2, 3.3.3.3")
    end

    it "that are cookies are joined with semicolons" do
      expect(env_for("/", { "cookie" => %w[a=1 b=2] })["HTTP_COOKIE"]).to eq("a=1; b=2")
    end

    it "keep bytes that are not ASCII, as binary" do
      latin = "caf\xE9".b
      utf8 = "caf\u00E9 \u{1F600}"
      env = env_for("/", { "x-latin" => latin, "x-utf8" => utf8 })

      expect(env["HTTP_X_LATIN"]).to eq(latin)
      expect(env["HTTP_X_UTF8"]).to eq(utf8.b)
      expect([env["HTTP_X_LATIN"], env["HTTP_X_UTF8"], env["PATH_INFO"]].map(&:encoding)).to all(eq(Encoding::BINARY))
    end

    # HTTP_VERSION is the protocol's; HTTP_PROXY is "httpoxy".
    it "that would pass for what the server says are dropped" do
      env = env_for("/", { "version" => "HTTP/9.9", "proxy" => "http://evil", "transfer_encoding" => "chunked" })

      expect(env["HTTP_VERSION"]).to eq(http2? ? "HTTP/2" : "HTTP/1.1")
      expect(env).not_to include("HTTP_PROXY", "HTTP_TRANSFER_ENCODING")
      expect(env["tidegate.dropped_headers"]).to contain_exactly("version", "proxy", "transfer_encoding")
    end

    it "may be empty" do
      expect(env_for("/", { "x-empty" => "" })["HTTP_X_EMPTY"]).to eq("")
    end

    it "lose the spaces around their values, and keep those inside", :http1 do
      expect(env_of("GET / HTTP/1.1\r\nHost: a\r\nX-Spaced: \t a  b \t\r\n\r\n")["HTTP_X_SPACED"]).to eq("a  b")
    end

    it "with underscores cannot pass for those with dashes" do
      expect(env_for("/", { "x_real_ip" => "6.6.6.6", "x-real-ip" => "10.0.0.1" })["HTTP_X_REAL_IP"]).to eq("10.0.0.1")
    end

    it "that were dropped are listed" do
      env = env_for("/", { "x_real_ip" => "6.6.6.6", "x-real-ip" => "10.0.0.1", "x_other" => "1" })

      expect(env["tidegate.dropped_headers"]).to eq(["x_real_ip"])
      expect(env["HTTP_X_OTHER"]).to eq("1")
      expect(env_for("/")).not_to include("tidegate.dropped_headers")
    end

    it "with underscores are all kept, or all dropped, where that is asked for" do
      headers = { "x_other" => "1", "content_length" => "5" }

      expect(env_for("/", headers, allow_underscore_headers: true)).to include("HTTP_X_OTHER" => "1", "tidegate.dropped_headers" => ["content_length"])
      env = env_for("/", headers, allow_underscore_headers: false)
      expect(env["tidegate.dropped_headers"]).to contain_exactly("x_other", "content_length")
      expect(env).not_to include("HTTP_X_OTHER")
    end

    it "cannot set what the server sets" do
      env = env_for("/", { "remote-addr" => "6.6.6.6" })

      expect(env["REMOTE_ADDR"]).to eq("127.0.0.1")
    end

    it "that look like the body's type and length with underscores leave no key that Rack forbids" do
      env = env_for("/", { "content_length" => "5", "content_type" => "a/b" })

      expect(env).not_to include("CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE")
    end
  end

  describe "the host" do
    {
      "example.org" => %w[example.org 80], "example.org:8080" => %w[example.org 8080], "example.org:" => %w[example.org 80],
      "127.0.0.1:81" => %w[127.0.0.1 81], "[::1]" => %w[[::1] 80], "[::1]:8080" => %w[[::1] 8080]
    }.each do |host, (name, port)|
      it "#{host} is the name #{name} and the port #{port}" do
        expect(env_for("/", { "host" => host })).to include("HTTP_HOST" => host, "SERVER_NAME" => name, "SERVER_PORT" => port)
      end
    end

    it "is our own address where HTTP/1.0 gives none", :http1 do
      env = env_of("GET / HTTP/1.0\r\n\r\n")

      expect(env).to include("SERVER_NAME" => "127.0.0.1", "SERVER_PORT" => @server.port.to_s, "SERVER_PROTOCOL" => "HTTP/1.0")
      expect(env).not_to include("HTTP_HOST")
    end

    it "is asked for, as in HTTP/1.1", :http2 do
      client = connect(run_server { |_env| [200, { "content-type" => "text/plain" }, ["never"]] })
      client.wire.send_headers(1, [[":method", "GET"], [":scheme", "http"], [":path", "/"]])

      expect(client.wire.response(1).status).to eq(400)
    end

    it "of :authority is that of Host, and Host stands in for it", :http2 do
      both = env_for("/", { "host" => "example.org:81" })
      host = env_from do |client|
        client.wire.send_headers(1, [[":method", "GET"], [":scheme", "http"], [":path", "/"], %w[host example.org:82]])
        client.wire.response(1)
      end

      expect(both).to include("HTTP_HOST" => "example.org:81", "SERVER_NAME" => "example.org", "SERVER_PORT" => "81")
      expect(host).to include("HTTP_HOST" => "example.org:82", "SERVER_NAME" => "example.org", "SERVER_PORT" => "82")
    end

    # A proxy in front has ended TLS, and speaks of the request that it got.
    it "and the scheme are those of the connection, whatever :scheme says", :http2 do
      env = env_from do |client|
        client.wire.send_headers(1, client.wire.fields("GET", "/", scheme: "https"))
        client.wire.response(1)
      end

      expect(env).to include("rack.url_scheme" => "http", "SERVER_PORT" => "80", "REQUEST_URI" => "/")
    end

    it "of an absolute target comes before the header", :http1 do
      env = env_for("http://other.example:81/path?q=1", { "host" => "example.org" })

      expect(env).to include(
        "HTTP_HOST" => "other.example:81", "SERVER_NAME" => "other.example", "SERVER_PORT" => "81",
        "PATH_INFO" => "/path", "QUERY_STRING" => "q=1"
      )
    end
  end

  it "has the asterisk of OPTIONS *", rack: "3.1".. do
    expect(env_for("*", method: "OPTIONS")).to include("REQUEST_METHOD" => "OPTIONS", "PATH_INFO" => "*", "QUERY_STRING" => "")
  end

  # hyper refuses most of them; old clients send them, and Puma passes them on.
  {
    "/caf\xE9?q=\xC4\xE3" => ["/caf\xE9", "q=\xC4\xE3"], "/caf\u00E9" => ["/caf\u00E9", ""], "/?`\"<>{}|^\\" => ["/", "`\"<>{}|^\\"],
    "/`\"<>{}|^\\%7b?" => ["/`\"<>{}|^\\%7b", ""]
  }.each do |target, (path, query)|
    it "has the target's bytes as they came in #{target.b.inspect}", http1: target != "/caf\u00E9" do
      env = env_for(target.b)

      expect(env.values_at("PATH_INFO", "REQUEST_PATH", "QUERY_STRING", "REQUEST_URI")).to eq([path, path, query, target].map(&:b))
      expect(env.values_at("PATH_INFO", "REQUEST_URI").map(&:encoding)).to all(eq(Encoding::BINARY))
    end
  end

  it "has the target's bytes as they came, where HTTP/2 lets them pass", :http2 do
    target = "/caf\u00E9|^\\{}[]%7b?q='\u00E9{}|^\\`"

    expect(env_for(target)).to include("REQUEST_URI" => target.b, "PATH_INFO" => target.b[/[^?]+/], "QUERY_STRING" => target.b[/(?<=\?).*/n])
  end

  it "has the bytes of an absolute target, too", :http1 do
    env = env_for("http://other.example/caf\xE9?\xC4".b)

    expect(env).to include("HTTP_HOST" => "other.example", "PATH_INFO" => "/caf\xE9".b, "QUERY_STRING" => "\xC4".b)
  end

  it "has methods that HTTP does not define" do
    expect(env_for("/", method: "PURGE")["REQUEST_METHOD"]).to eq("PURGE")
  end

  it "tells how long the request has waited, in milliseconds" do
    env = env_for("/")

    expect([env["tidegate.queue_wait"], env["puma.request_body_wait"]]).to match([(a_value >= 0).and(be_a(Float)), 0.0])
    posted = env_for("/", method: "POST", body: "x")
    expect(posted["puma.request_body_wait"]).to be_a(Float).and be >= 0
  end

  it "says when the request came, where that is asked for and no proxy has said it" do
    before = Time.now.to_f
    start = env_for("/", request_start: true)["HTTP_X_REQUEST_START"]
    expect(start).to match(/\At=\d{10}\.\d{3}\z/)
    expect(start.delete_prefix("t=").to_f).to be_between(before - 0.001, Time.now.to_f)
    expect(env_for("/", { "x-request-start" => "t=1" }, request_start: true)["HTTP_X_REQUEST_START"]).to eq("t=1")
    expect(env_for("/")).not_to include("HTTP_X_REQUEST_START")
  end

  it "has a request id where that is asked for, and the response has the same" do
    server = run_server(request_id: true) { |env| [200, { "content-type" => "text/plain" }, [env["HTTP_X_REQUEST_ID"]]] }
    wire = connect(server)
    made = wire.get("/")

    expect(made.body).to match(/\A\h{32}\z/).and eq(made["x-request-id"])
    expect(wire.get("/", "x-request-id" => "from-a.proxy").body).to eq("from-a.proxy")
    expect(wire.get("/", "x-request-id" => "a b")["x-request-id"]).to match(/\A\h{32}\z/)
  end

  it "is a hash of its own for each request, so that a thread may keep it" do
    envs = Queue.new
    server = run_server(lint: false) do |env|
      envs << env
      [200, { "content-type" => "text/plain" }, ["ok"]]
    end
    wire = connect(server)
    wire.get("/first", "x-secret" => "mine")
    first = Patience.pop(envs)
    before = first.dup
    10.times { |number| wire.get("/#{number}", "x-secret" => "yours") }

    expect(first).to eq(before)
    expect(Array.new(10) { Patience.pop(envs) }.map(&:object_id)).not_to include(first.object_id)
  end

  it "of a request over a Unix socket has the loopback address", :http1 do
    Dir.mktmpdir do |directory|
      envs = Queue.new
      app = Rack::Lint.new(->(env) { (envs << env.dup) && [200, { "content-type" => "text/plain" }, ["ok"]] })
      server = Tidegate::Server.new(app, bind: "unix://#{directory}/app.sock", silent: true).start
      servers << server
      connect(server).write("GET / HTTP/1.0\r\n\r\n").response

      expect(Patience.pop(envs)).to include("REMOTE_ADDR" => "127.0.0.1", "SERVER_NAME" => "localhost", "SERVER_PORT" => "80")
      stop_servers
    end
  end

  it "over IPv6 tells the client's address without brackets", :http1 do
    envs = Queue.new
    app = Rack::Lint.new(->(env) { (envs << env.dup) && [200, { "content-type" => "text/plain" }, ["ok"]] })
    server = Tidegate::Server.new(app, bind: "tcp://[::1]:0", silent: true).start
    servers << server
    connect(server).write("GET / HTTP/1.0\r\n\r\n").response

    expect(Patience.pop(envs)).to include("REMOTE_ADDR" => "::1", "SERVER_NAME" => "[::1]", "SERVER_PORT" => server.port.to_s)
  end
end
