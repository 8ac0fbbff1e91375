# frozen_string_literal: true

RSpec.describe "an HTTP/1 connection", :in_process do
  let(:server) { run_server { |env| [200, { "content-type" => "text/plain" }, ["#{env["REQUEST_METHOD"]} #{env["PATH_INFO"]} #{env["rack.input"].read}"]] } }
  let(:wire) { connect(server) }

  it "is kept for further requests" do
    expect(Array.new(20) { |number| wire.get("/#{number}").body }).to eq(Array.new(20) { |number| "GET /#{number} " })
    expect(server.stats[:accepted]).to eq(1)
  end

  it "answers requests that are sent all at once, in their order" do
    20.times { |number| wire.request(number.even? ? "GET" : "POST", "/#{number}", body: ("body" if number.odd?)) }

    expect(Array.new(20) { wire.response.body })
      .to eq(Array.new(20) { |number| number.even? ? "GET /#{number} " : "POST /#{number} body" })
  end

  it "is closed with the last of the requests that it may have" do
    wire = connect(run_server(max_keep_alive: 2) { [200, { "date" => "now", "content-length" => "2" }, ["ok"]] })
    2.times { wire.request("GET", "/") }
    head = "HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\n"
    expect(wire.rest).to eq("#{head}\r\nok#{head}connection: close\r\n\r\nok")
  end

  it "is closed after the response when the client says so" do
    response = wire.get("/", { "connection" => "close" })

    expect(response).to be_close
    expect(wire).to be_eof
  end

  it "does not answer what follows a request that says close" do
    wire.request("GET", "/first", { "connection" => "close" }).request("GET", "/second")

    expect(wire.response.body).to eq("GET /first ")
    expect(wire).to be_eof
  end

  it "of HTTP/1.0 is closed after the response" do
    response = wire.write("GET / HTTP/1.0\r\n\r\n").response

    expect([response.status, response.body]).to eq([200, "GET / "])
    expect(wire).to be_eof
  end

  it "of HTTP/1.0 is kept when the client asks for it" do
    server = run_server(lint: RackRelease.lint_keeps_arrays?) { |env| [200, { "content-type" => "text/plain" }, ["GET #{env["PATH_INFO"]}"]] }
    wire = connect(server)
    2.times do
      response = wire.write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").response
      expect(response["connection"]).to eq("keep-alive")
      expect(response.body).to eq("GET /")
    end
  end

  it "of HTTP/1.0 gets a body of unknown length without chunks, up to the end of the connection" do
    server = run_server { |_env| [200, { "content-type" => "text/plain" }, %w[a b c].each] }
    wire = connect(server)
    response = wire.write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").response

    expect(response.body).to eq("abc")
    expect(response["transfer-encoding"]).to be_nil
    expect(wire).to be_eof
  end

  it "takes a request in single bytes" do
    "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".each_char { |byte| wire.write(byte) }

    expect(wire.response.body).to eq("POST /slow abc")
  end

  it "takes a request with empty lines in front" do
    expect(wire.write("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").response.body).to eq("GET / ")
  end

  # A half close cannot be told from a client that has gone, and those must not be served. Puma decides as we do.
  it "takes a client that ends its side for one that has gone" do
    # A busy machine may let the request go out alone, and have it answered before the end comes.
    Patience.until_true("a connection that ends without an answer") do
      connect(server).write_last("GET /half HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").eof?
    end
  end

  # A child has a copy of every descriptor: closing ours ends nothing while the child lives.
  it "ends a connection although a child that the app has forked holds it open" do
    children = Queue.new
    forking = run_server do |_env|
      children << fork { sleep }
      [200, { "content-type" => "text/plain" }, ["forked"]]
    end
    ended = connect(forking)
    ended.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    expect(ended.response.body).to eq("forked")
    expect(ended).to be_eof
  ensure
    Process.kill(:KILL, child = children.pop)
    Process.wait(child)
  end

  it "answers OPTIONS *", rack: "3.1".. do
    expect(wire.ask("OPTIONS", "*").body).to eq("OPTIONS * ")
  end

  describe "with Expect: 100-continue" do
    def expecting(length) = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: #{length}\r\n\r\n"

    it "gets 100 before it has sent its body" do
      wire.write(expecting(4))
      expect(wire.response.status).to eq(100)

      expect(wire.write("body").response.body).to eq("POST / body")
      expect(wire.get("/next").body).to eq("GET /next ")
    end

    it "may send its body without waiting" do
      wire.write("#{expecting(4)}body")
      response = wire.response
      response = wire.response if response.status == 100

      expect(response.body).to eq("POST / body")
    end
  end

  it "over a Unix socket is the same" do
    Dir.mktmpdir do |directory|
      server = Tidegate::Server.new(->(_env) { [200, {}, ["unix"]] }, bind: "unix://#{directory}/app.sock", silent: true).start
      servers << server
      wire = connect(server)

      expect(Array.new(3) { wire.get("/").body }).to eq(%w[unix unix unix])
      stop_servers
      expect(File).not_to exist("#{directory}/app.sock")
    end
  end
end
