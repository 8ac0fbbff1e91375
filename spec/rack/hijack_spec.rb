# frozen_string_literal: true

RSpec.describe "hijacking", :in_process do
  it "is offered" do
    server = run_server { |env| [200, { "content-type" => "text/plain" }, [[env["rack.hijack?"], env["rack.hijack"].respond_to?(:call)].inspect]] }

    expect(get(server, "/").body).to eq("[true, true]")
  end

  it "gives the app the client's own socket" do
    server = hijacking do |io|
      io.write("peer #{io.remote_address.ip_port}\n")
      io.close
    end
    wire = connect(server)
    wire.request("GET", "/hijack")

    expect(wire.rest).to eq("peer #{wire.socket.local_address.ip_port}\n")
    expect(Patience.pop(sockets)).to be_a(TCPSocket)
  end

  it "works on a connection that has served requests before" do
    server = hijacking { |io| io.write(io.readpartial(100).upcase) && io.close }
    wire = connect(server)
    3.times { expect(wire.get("/").body).to eq("ok") }
    wire.request("GET", "/hijack").write("hello")

    expect(wire.rest).to eq("HELLO")
  end

  it "loses nothing that came with the request" do
    server = hijacking do |io|
      io.write(io.read(10) + io.gets)
      io.close
    end
    wire = connect(server)
    wire.write("GET /hijack HTTP/1.1\r\nHost: a\r\n\r\n0123456789and a line\nand more")

    expect(wire.read_until("\n")).to eq("0123456789and a line\n")
  end

  it "waits for the responses before it" do
    server = hijacking { |io| io.write("mine") && io.close }
    wire = connect(server)
    wire.request("GET", "/").request("GET", "/hijack")

    expect([wire.response.body, wire.rest]).to eq(%w[ok mine])
  end

  it "sets rack.hijack_io, and gives the same socket when asked again" do
    envs = Queue.new
    server = hijacking do |io, env|
      envs << [env["rack.hijack_io"].equal?(io), env["rack.hijack"].call.equal?(io)]
      io.close
    end
    connect(server).request("GET", "/hijack").rest

    expect(Patience.pop(envs)).to eq([true, true])
  end

  it "has a socket to wait for, read and write without blocking" do
    server = hijacking do |io|
      io.wait_readable
      io.write_nonblock(io.read_nonblock(100))
      io.close
    end
    wire = connect(server)
    wire.request("GET", "/hijack").write("echo")

    expect(wire.rest).to eq("echo")
  end

  it "passes Rack::Lint" do
    server = hijacking(lint: true) { |io| io.write("through Lint") && io.close }

    expect(connect(server).request("GET", "/hijack").rest).to eq("through Lint")
  end

  it "works over a Unix socket" do
    Dir.mktmpdir do |directory|
      app = lambda do |env|
        io = env["rack.hijack"].call
        io.write(io.class.superclass.name)
        io.close
        [-1, {}, []]
      end
      server = Tidegate::Server.new(app, bind: "unix://#{directory}/app.sock", silent: true).start
      servers << server

      expect(connect(server).write("GET / HTTP/1.0\r\n\r\n").rest).to eq("UNIXSocket")
      stop_servers
    end
  end

  it "is counted until the socket is closed" do
    server = hijacking { |io| io.read && io.close }
    wire = connect(server)
    wire.request("GET", "/hijack")
    wait_for_stat(server, :hijacked, 1)
    expect(server.stats).to include(connections: 0, in_flight: 0)
    wire.close

    wait_for_stat(server, :hijacked, 0)
  end

  it "is counted until the socket is closed half by half, or forgotten" do
    server = hijacking do |io|
      io.close_write
      io.close_read
    end
    connect(server).request("GET", "/hijack").rest
    wait_for_stat(server, :hijacked, 0)
    forgetting = run_server(lint: false, shutdown_timeout: 0.1) { |env| env["rack.hijack"].call && [-1, {}, []] }
    8.times { connect(forgetting).request("GET", "/") }
    wait_for_stat(forgetting, :requests, 8)
    Patience.until_true("a forgotten socket to be closed") do
      GC.start
      forgetting.stats.fetch(:hijacked) < 8
    end
  end

  it "leaves the worker to other requests" do
    server = hijacking(max_threads: 1) { |io| io.read && io.close }
    3.times { connect(server).request("GET", "/hijack") }
    wait_for_stat(server, :hijacked, 3)

    expect(get(server, "/").body).to eq("ok")
  end

  it "cannot be done once the response has begun" do
    errors = Queue.new
    body = Object.new
    server = run_server(lint: false) do |env|
      body.define_singleton_method(:each) do |&out|
        out.call("sent")
        begin
          env["rack.hijack"].call
        rescue IOError => error
          errors << error
        end
      end
      [200, {}, body]
    end

    expect(get(server, "/").body).to eq("sent")
    expect(Patience.pop(errors).message).to eq("the response has begun")
  end

  it "of a client that has gone raises EPIPE" do
    entered = Queue.new
    go = Queue.new
    raised = Queue.new
    server = run_server(lint: false) do |env|
      entered << true
      Patience.pop(go)
      env["rack.hijack"].call
    rescue SystemCallError => error
      raised << error
      raise
    end
    wire = connect(server)
    wire.request("GET", "/")
    Patience.pop(entered)
    wire.abort
    wait_for_stat(server, :in_flight, 0)
    go << true

    expect(Patience.pop(raised)).to be_a(Errno::EPIPE)
  end

  it "is not answered when the app raises after it" do
    server = run_server(lint: false) do |env|
      env["rack.hijack"].call.then { |io| io.write("mine") && io.close }
      raise "on purpose"
    end

    expect(connect(server).request("GET", "/").rest).to eq("mine")
    expect(errors.wait_for(/raised RuntimeError: on purpose/)).to be_truthy
  end

  # The socket was closed only when Ruby happened to collect it.
  describe "by an app that then fails" do
    def failing(&) = run_server(lint: false, threads: "1:1") { |env| env["PATH_INFO"] == "/next" ? [200, {}, ["next"]] : instance_exec(env, &) }

    # Whether the client sees the end, although the socket is not forgotten.
    def expect_end(server, before: "")
      expect(connect(server).request("GET", "/").rest).to eq(before)
      expect(get(server, "/next").body).to eq("next")
      wait_for_stat(server, :hijacked, 0)
    end

    it "ends for the client at once when it raises" do
      server = failing do |env|
        sockets << env["rack.hijack"].call
        raise "on purpose"
      end
      expect_end(server)

      expect(errors.wait_for(/^tidegate: GET \/ raised RuntimeError: on purpose, after it had hijacked the connection$/)).to be_truthy
      expect(Patience.pop(sockets)).to be_closed
    end

    it "ends when a middleware of its raises, and when the handler of errors was to answer" do
      server = run_server(lint: false, lowlevel_error_handler: ->(_error) { [503, {}, ["never"]] }) do |env|
        sockets << env["rack.hijack"].call
        throw :async
      end

      expect(connect(server).request("GET", "/").rest).to eq("")
    end

    it "ends when its thread is killed" do
      expect_end(failing { |env| (sockets << env["rack.hijack"].call) && Thread.current.kill })
    end

    it "ends when the hijack of the response (partial) raises, or its thread is killed in it, after what was written" do
      [-> { raise "on purpose" }, -> { Thread.current.kill }].each do |fail|
        server = failing do |_env|
          [200, { "rack.hijack" => ->(io) { (sockets << io) && io.write("begun") && fail.call } }, []]
        end
        wire = connect(server).request("GET", "/")

        expect(wire.rest).to end_with("\r\n\r\nbegun")
        expect(get(server, "/next").body).to eq("next")
      end
    end

    it "ends for a thread that reads from it, too" do
      read = Queue.new
      server = failing do |env|
        io = env["rack.hijack"].call
        Thread.new do
          read << io.read
        rescue IOError
          read << ""
        end
        Patience.until_true("the thread to read") { Thread.list.any? { |thread| thread.status == "sleep" && thread.backtrace.to_a.first&.include?("read") } }
        raise "on purpose"
      end
      expect_end(server)

      expect(Patience.pop(read)).to eq("")
    end

    it "goes on when only the closing of the body that it returned raises" do
      body = Struct.new(:each) { define_method(:close) { raise "close failed" } }.new
      server = failing do |env|
        sockets << env["rack.hijack"].call
        [-1, {}, body]
      end
      wire = connect(server).request("GET", "/")
      expect(errors.wait_for(/raised RuntimeError: close failed/)).to be_truthy
      Patience.pop(sockets).then { |io| io.write("alive") && io.close }

      expect(wire.rest).to eq("alive")
    end
  end

  it "closes the body that the app returns all the same, and runs the callbacks" do
    log = Queue.new
    body = Object.new
    body.define_singleton_method(:each) { |&_| log << :each }
    body.define_singleton_method(:close) { log << :close }
    server = run_server(lint: false) do |env|
      env["rack.response_finished"] << ->(_, status, _, error) { log << [status, error] }
      env["rack.hijack"].call.close
      [200, {}, body]
    end
    connect(server).request("GET", "/").rest

    expect([Patience.pop(log), Patience.pop(log)]).to eq([:close, [200, nil]])
  end

  describe "of the response (partial)" do
    it "gives the same socket to an app that asks for it by rack.hijack" do
      same = Queue.new
      server = run_server(lint: false) do |env|
        [200, { "rack.hijack" => ->(io) { same << env["rack.hijack"].call.equal?(io) && io.close } }, []]
      end
      connect(server).request("GET", "/").rest

      expect(Patience.pop(same)).to be(true)
    end

    def answering(headers, status: 200, lint: true, &hijack)
      run_server(lint:) { |_env| [status, { "content-type" => "text/plain", "rack.hijack" => hijack, **headers }, []] }
    end

    it "calls with the connection after the head was sent" do
      server = answering({ "x-one" => "1" }) do |io|
        io.write("the body\n")
        io.close
      end
      wire = connect(server)
      response = wire.get("/")

      expect([response.status, response["x-one"], response["connection"], response.body]).to eq([200, "1", "close", "the body\n"])
      expect(response.headers.keys).not_to include("rack.hijack", "transfer-encoding", "content-length")
    end

    it "may switch protocols" do
      server = answering({ "upgrade" => "echo", "connection" => "upgrade" }, status: 101, lint: false) do |io|
        Thread.new { io.write(io.readpartial(10)) && io.close }
      end
      wire = connect(server)
      wire.request("GET", "/", { "connection" => "upgrade", "upgrade" => "echo" })
      head = wire.read_until("\r\n\r\n")
      wire.write("hello")

      expect(head).to start_with("HTTP/1.1 101 Switching Protocols\r\n")
      expect(head).to match(/^upgrade: echo\r$/).and match(/^connection: upgrade\r$/)
      expect(wire.rest).to eq("hello")
    end
  end

  describe "by rack.protocol" do
    it "tells the app what the client offers" do
      server = run_server { |env| [200, { "content-type" => "text/plain" }, [env["rack.protocol"].inspect]] }
      wire = connect(server)

      expect(wire.get("/", { "connection" => "upgrade", "upgrade" => "websocket, other/2" }).body).to eq('["websocket", "other/2"]')
      expect(wire.get("/").body).to eq("nil")
    end

    it "upgrades, and the body speaks the other protocol", rack: "3.1".. do
      body = lambda do |stream|
        stream.write("welcome\n")
        stream.write(stream.readpartial(100))
        stream.close
      end
      server = run_server(lint: false) { |_env| [101, { "rack.protocol" => "echo" }, body] }
      wire = connect(server)
      wire.request("GET", "/", { "connection" => "upgrade", "upgrade" => "echo" })

      expect(wire.read_until("\r\n\r\n")).to match(/\AHTTP\/1\.1 101 .*^upgrade: echo\r$/m)
      wire.write("hello")
      expect(wire.rest).to eq("welcome\nhello")
    end
  end

  describe "in a drain" do
    it "is told by a callable in env" do
      answers = Queue.new
      server = hijacking do |io, env|
        answers << env["tidegate.draining"].call
        io.read
        answers << env["tidegate.draining"].call
        io.close
      end
      wire = connect(server)
      wire.request("GET", "/hijack")
      expect(Patience.pop(answers)).to be(false)
      server.stop
      Patience.until_true("the server to close") { server.phase == :closing }
      wire.close

      expect(Patience.pop(answers)).to be(true)
    end

    it "is told by a hook, which can close in order, and is waited for" do
      open = Queue.new
      told = Queue.new
      hook = lambda do
        told << true
        open.pop.then { |io| io.write("goodbye") && io.close }
      end
      server = hijacking(before_drain: hook) { |io| open << io }
      wire = connect(server)
      wire.request("GET", "/hijack")
      wait_for_stat(server, :hijacked, 1)
      server.stop

      expect(wire.rest).to eq("goodbye")
      expect(server.join(Patience::SECONDS)).to be(true)
      expect([told.size, server.exit_status, server.stats[:hijacked]]).to eq([1, 0, 0])
    end

    it "is told by every hook, also when one of them raises" do
      told = Queue.new
      server = hijacking(before_drain: [-> { raise "hook failed" }, -> { told << true }]) { |io| io.close }
      server.stop

      expect(server.join(Patience::SECONDS)).to be(true)
      expect(told.size).to eq(1)
      expect(errors.to_s).to include("tidegate: the hook before_drain raised").and include("hook failed")
    end

    it "is cut when the time is up, and counts as no failure" do
      ended = Queue.new
      server = hijacking(shutdown_timeout: 0.1) { |io| ended << io.read }
      wire = connect(server)
      wire.request("GET", "/hijack")
      wait_for_stat(server, :hijacked, 1)
      server.stop

      expect(server.join(Patience::SECONDS)).to be(true)
      expect(Patience.pop(ended)).to eq("")
      expect(server.exit_status).to eq(0)
      expect(wire).to be_ended
    end
  end
end
