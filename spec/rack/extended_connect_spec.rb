# frozen_string_literal: true

# Other protocols over HTTP/2, by an extended CONNECT (RFC 8441). One for a WebSocket looks to the app as the handshake of HTTP/1.

RSpec.describe "an extended CONNECT", :in_process, over: :http2 do
  web_socket = { "sec-websocket-version" => "13", "origin" => "http://example.org" }

  def env_of(protocol, headers = {})
    envs = Queue.new
    server = run_server do |env|
      envs << env.dup
      [404, { "content-type" => "text/plain" }, ["not here"]]
    end
    response = connect(server).connect(protocol, "/cable?x=1", headers).response
    expect([response.status, response.body]).to eq([404, "not here"])
    Patience.pop(envs)
  end

  # Accepts whatever protocol is asked for, and gives what the app and the client have of the stream to the block.
  def accepting(protocol = "echo", how: :body, **options)
    server = run_server(lint: false, **options) do |env|
      speak = ->(io) { yield io, env }
      case how
      when :body then [200, { "rack.protocol" => protocol }, speak]
      when :status then [101, { "upgrade" => protocol, "connection" => "upgrade" }, speak]
      when :partial then [101, { "upgrade" => protocol, "rack.hijack" => speak }, []]
      when :full
        env["rack.hijack"].call.then do |io|
          io.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: #{protocol}\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\nX-One: 1\r\n\r\n")
          speak.call(io)
        end
        [-1, {}, []]
      end
    end
    connect(server).connect(protocol, "/")
  end

  it "is offered to the client" do
    expect(connect(run_server { |_env| [200, {}, []] }).wire.peer_settings).to include(enable_connect_protocol: 1)
  end

  it "for a WebSocket is the GET of a handshake" do
    env = env_of("websocket", web_socket.merge("sec-websocket-protocol" => "actioncable-v1-json"))

    expect(env).to include(
      "REQUEST_METHOD" => "GET", "SERVER_PROTOCOL" => "HTTP/2", "PATH_INFO" => "/cable", "QUERY_STRING" => "x=1", "HTTP_UPGRADE" => "websocket",
      "HTTP_CONNECTION" => "Upgrade", "HTTP_SEC_WEBSOCKET_VERSION" => "13", "HTTP_ORIGIN" => "http://example.org", "HTTP_HOST" => "example.org",
      "HTTP_SEC_WEBSOCKET_PROTOCOL" => "actioncable-v1-json", "rack.protocol" => ["websocket"]
    )
    expect(env["HTTP_SEC_WEBSOCKET_KEY"].unpack1("m0").bytesize).to eq(16)
    expect([env["rack.input"].read, env["CONTENT_LENGTH"]]).to eq(["", nil])
    expect(env).not_to include("tidegate.send_trailers")
  end

  it "for another protocol is a CONNECT" do
    env = env_of("echo")

    expect(env).to include("REQUEST_METHOD" => "CONNECT", "PATH_INFO" => "/cable", "rack.protocol" => ["echo"])
    expect(env.keys & %w[HTTP_UPGRADE HTTP_CONNECTION HTTP_SEC_WEBSOCKET_KEY]).to eq([])
  end

  it "without a protocol is answered 501, as over HTTP/1" do
    client = connect(run_server { |_env| [200, {}, ["never"]] })
    client.wire.send_headers(1, [[":method", "CONNECT"], [":authority", "example.org:443"]])

    expect(client.wire.response(1).status).to eq(501)
  end

  %i[body status partial full].each do |how|
    it "is accepted with 200 where the app changes the protocol by #{how == :body ? "rack.protocol" : "#{how == :status ? "the status" : "a #{how} hijack"} 101"}" do
      client = accepting(how:) do |io|
        io.write("welcome\n")
        io.write(io.readpartial(100).upcase)
        io.close
      end

      expect(client.head.status).to eq(200)
      expect(client.head.headers.keys & %w[upgrade connection sec-websocket-accept transfer-encoding content-length]).to eq([])
      expect(client.head["x-one"]).to eq(how == :full ? "1" : nil)
      expect(client.read_until("\n")).to eq("welcome\n")
      client.write("hello")
      expect(client.rest).to eq("HELLO")
    end
  end

  it "carries what is large both ways, whoever waits for whom" do
    part = Random.new(4).bytes(100_000)
    client = accepting do |io|
      IO.copy_stream(io, io)
      io.close
    end
    10.times { client.wire.send_body(client.stream, part, end_stream: false) }
    client.half_close

    expect(client.rest == part * 10).to be(true)
  end

  it "is half closed by the client, or by the app, and goes on in the other direction" do
    client = accepting do |io|
      io.write("first ")
      io.close_write
      sleep_until_told = io.read
      @heard = sleep_until_told
      io.close
    end
    expect(client.rest).to eq("first ")
    client.write("second").half_close
    wait_for_stat(servers.last, :hijacked, 0)

    expect(@heard).to eq("second")
  end

  # To the client that would be a WebSocket.
  it "is not accepted by an app that answers as if it were a GET" do
    [["hello"], [], Enumerator.new { |out| out << "hello" }, ->(stream) { stream << "hello" }].each do |body|
      closed = Queue.new
      body.define_singleton_method(:close) { closed << true }
      server = run_server(lint: false) { |_env| [200, { "content-type" => "text/plain" }, body] }
      response = connect(server).connect("websocket", "/", web_socket).response

      expect(response.status).to eq(501)
      Patience.pop(closed) unless body.is_a?(Array)
      expect(errors.to_s).to eq("")
    end
  end

  it "is refused with what the app answers" do
    server = run_server { |_env| [403, { "content-type" => "text/plain" }, ["no"]] }

    expect(connect(server).connect("websocket", "/", web_socket).response.then { |it| [it.status, it.body] }).to eq([403, "no"])
  end

  it "ends for the app when the client gives it up" do
    ended = Queue.new
    client = accepting do |io|
      ended << io.read
      io.close
    end
    expect(client.head.status).to eq(200)
    client.abort

    expect(Patience.pop(ended)).to eq("")
  end

  it "does not hold up the other streams of the connection" do
    client = accepting { |io| io.read && io.close }
    expect(client.head.status).to eq(200)
    # The app of `accepting` accepts whatever comes.
    5.times do
      client.connect("echo", "/")
      expect(client.head.status).to eq(200)
      client.half_close
      expect(client.rest).to eq("")
    end
  end
end
