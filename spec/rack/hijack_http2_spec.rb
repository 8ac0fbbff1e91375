# frozen_string_literal: true

# The app has one end of a socket pair in the place of a stream. It writes a response of HTTP/1 to it, as it would to a connection;
# the server makes the stream's head and data of that.

RSpec.describe "hijacking over HTTP/2", :in_process, over: :http2 do
  def answer(io, text)
    io.write(text)
    io.close
  end

  {
    "up to the end that the app makes of it" => "HTTP/1.1 200 OK\r\nX-One: 1\r\nConnection: close\r\n\r\nhello",
    "as long as it says" => "HTTP/1.1 200 OK\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello",
    # As message_bus does.
    "in chunks" => "HTTP/1.1 200 OK\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
  }.each do |how, text|
    it "sends the response that the app writes, #{how}" do
      client = connect(hijacking { |io| answer(io, text) })
      response = client.get("/hijack")

      expect([response.status, response["x-one"], response.body]).to eq([200, "1", "hello"])
      expect(response.headers.keys & %w[connection transfer-encoding]).to eq([])
      expect(client.get("/").body).to eq("ok")
      expect(Patience.pop(sockets)).to be_a(UNIXSocket)
    end
  end

  it "sends it as it is written" do
    go = Queue.new
    client = connect(hijacking do |io|
      io.write("HTTP/1.1 200 OK\r\n\r\none ")
      Patience.pop(go)
      answer(io, "two")
    end)
    client.request("GET", "/hijack")

    expect(client.read_until("one ")).to eq("one ")
    expect(client.head.status).to eq(200)
    go << true
    expect(client.rest).to eq("two")
  end

  # Rack::Lint of Rack 2 puts a wrapper around the socket.
  it "passes Rack::Lint, and gives the same socket when asked again", rack: "3.0".. do
    same = Queue.new
    server = hijacking(lint: true) do |io, env|
      same << [env["rack.hijack_io"].equal?(io), env["rack.hijack"].call.equal?(io)]
      answer(io, "HTTP/1.1 200 OK\r\n\r\n")
    end

    expect(get(server, "/hijack").status).to eq(200)
    expect(Patience.pop(same)).to eq([true, true])
  end

  it "leaves the worker and the connection to other requests" do
    client = connect(hijacking(max_threads: 1) { |io| io.read && io.close })
    3.times { client.request("GET", "/hijack") }
    wait_for_stat(servers.last, :hijacked, 3)
    stream = client.wire.request("GET", "/")

    expect(client.wire.response(stream).body).to eq("ok")
  end

  it "is counted until the socket is closed" do
    server = hijacking { |io| sockets << io }
    client = connect(server).request("GET", "/hijack")
    wait_for_stat(server, :hijacked, 1)
    answer(Patience.pop(sockets), "HTTP/1.1 204 No Content\r\n\r\n")

    expect(client.response.status).to eq(204)
    wait_for_stat(server, :hijacked, 0)
  end

  it "ends for the app when the client gives the stream up, or goes" do
    %i[abort close].each do |leave|
      read = Queue.new
      server = hijacking do |io|
        read << io.read
        loop { io.write("x" * 10_000) }
      rescue SystemCallError => error
        read << error.class
        io.close
      end
      client = connect(server).request("GET", "/hijack")
      wait_for_stat(server, :hijacked, 1)
      client.public_send(leave)

      expect([Patience.pop(read), Patience.pop(read)]).to eq(["", Errno::EPIPE])
      wait_for_stat(server, :hijacked, 0)
    end
  end

  it "of a client that has gone raises EPIPE" do
    entered = Queue.new
    go = Queue.new
    raised = Queue.new
    server = run_server(lint: false) do |env|
      next [200, {}, []] unless env["PATH_INFO"] == "/hijack"

      entered << true
      Patience.pop(go)
      env["rack.hijack"].call
    rescue SystemCallError => error
      raised << error
      raise
    end
    client = connect(server).request("GET", "/hijack")
    Patience.pop(entered)
    client.abort
    wait_for_stat(server, :in_flight, 0)
    go << true

    expect(Patience.pop(raised)).to be_a(Errno::EPIPE)
  end

  it "holds back an app whose client does not read, and no other stream" do
    written = 0
    server = hijacking do |io|
      io.write("HTTP/1.1 200 OK\r\n\r\n")
      loop { written += io.write_nonblock("x" * 10_000) }
    rescue IO::WaitWritable
      sockets << :full
      io.wait_writable(Patience::SECONDS)
      answer(io, "the end")
    end
    client = connect(server)
    client.wire.opens_windows = false
    client.request("GET", "/hijack")
    2.times { Patience.pop(sockets) }
    other = client.wire.request("HEAD", "/")
    expect(client.wire.response(other).status).to eq(200)
    client.wire.opens_windows = true
    client.wire.send_window_update(0, 1 << 20).send_window_update(client.stream, 1 << 20)

    expect(client.rest).to end_with("xthe end")
    expect(written).to be < 2 << 20
  end

  {
    "writes nothing" => ["", nil],
    "writes no HTTP" => ["hello\r\n\r\n", nil],
    "changes to a protocol that the client has not asked for" => ["HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", nil],
    "writes a head and no more" => ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""],
    "writes less than it says" => ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "hell"],
    "writes chunks without an end" => ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n", "hell"]
  }.each do |what, (text, partial)|
    it "does not look whole where the app #{what}" do
      client = connect(hijacking { |io| answer(io, text) }).request("GET", "/hijack")

      if partial then expect { client.response }.to raise_error(HTTPResponse::Cut) { |cut| expect(cut.partial).to eq(partial) }
      else expect(client.response.status).to eq(500)
      end
      expect(client.get("/").body).to eq("ok")
    end
  end

  it "ends for the client at once when the app raises after it" do
    server = run_server(lint: false) do |env|
      next [200, {}, ["next"]] if env["PATH_INFO"] == "/next"

      sockets << env["rack.hijack"].call
      raise "on purpose"
    end
    client = connect(server)

    expect(client.get("/").status).to eq(500)
    expect(errors.wait_for(/^tidegate: GET \/ raised RuntimeError: on purpose, after it had hijacked the connection$/)).to be_truthy
    expect(Patience.pop(sockets)).to be_closed
    expect(client.get("/next").body).to eq("next")
  end

  describe "of the response (partial)" do
    def answering(headers, status: 200, lint: true, &hijack)
      run_server(lint:) { |_env| [status, { "content-type" => "text/plain", "rack.hijack" => hijack, **headers }, []] }
    end

    it "calls with the stream after the head was sent" do
      response = get(answering({ "x-one" => "1" }) { |io| answer(io, "the body\n") }, "/")

      expect([response.status, response["x-one"], response.body]).to eq([200, "1", "the body\n"])
      expect(response.headers.keys & %w[rack.hijack connection transfer-encoding]).to eq([])
    end

    it "cannot switch protocols where the client has not asked for another" do
      server = answering({ "upgrade" => "echo" }, status: 101, lint: false) { |io| answer(io, "never") }

      expect(get(server, "/").status).to eq(500)
    end
  end

  describe "in a drain" do
    it "is told by a hook, which can end in order, and is waited for" do
      open = Queue.new
      server = hijacking(before_drain: -> { open.pop.then { |io| answer(io, "HTTP/1.1 200 OK\r\n\r\ngoodbye") } }) { |io| open << io }
      client = connect(server).request("GET", "/hijack")
      wait_for_stat(server, :hijacked, 1)
      server.stop

      expect(client.response.body).to eq("goodbye")
      expect(server.join(Patience::SECONDS)).to be(true)
      expect([server.exit_status, server.stats[:hijacked]]).to eq([0, 0])
    end

    it "is cut when the time is up" do
      ended = Queue.new
      server = hijacking(shutdown_timeout: 0.1) do |io|
        ended << io.read
        io.close
      end
      client = connect(server).request("GET", "/hijack")
      wait_for_stat(server, :hijacked, 1)
      server.stop

      expect(server.join(Patience::SECONDS)).to be(true)
      expect(Patience.pop(ended)).to eq("")
      expect { client.response }.to raise_error(HTTPResponse::Cut)
    end
  end
end
