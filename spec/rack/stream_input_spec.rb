# frozen_string_literal: true

# For Rack 2, which rewinds its input, all of it is kept first: what is about arriving piece by piece is not for it.
Protocols.describe("rack.input with stream_input", :in_process) do
  # A server with an app that reads its input with the block and answers with what it makes of it.
  def reading(lint: true, **options)
    run_server(lint:, stream_input: true, **options) do |env|
      [200, { "content-type" => "text/plain" }, [yield(env["rack.input"], env).to_s]]
    end
  end

  # Begins a request whose body has no length, and is asked for its pieces; an empty one is its end.
  def chunked(wire)
    if http2?
      wire.request("POST", "/", end_stream: false)
      return ->(*pieces) { pieces.each { |piece| piece.empty? ? wire.half_close : wire.write(piece) } }
    end

    wire.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    ->(*chunks) { chunks.each { |chunk| wire.write("#{chunk.bytesize.to_s(16)}\r\n#{chunk}\r\n") } }
  end

  # Begins a request with a body of ten bytes, and sends four.
  def half(wire)
    if http2? then wire.request("POST", "/", { "content-length" => "10" }, end_stream: false).write("half")
    else wire.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
    end
  end

  # A client that has sent half of its body, and the thread of the app that waits for the rest. It is waited for, because
  # an app may rescue what it is told.
  def half_an_upload
    entered = Queue.new
    server = reading(lint: false) do |input|
      entered << Thread.current
      input.read
    end
    wire = connect(server)
    half(wire)
    thread = Patience.pop(entered)
    Patience.until_true("the thread to wait") { thread.backtrace&.first&.include?("next") }
    [wire, thread]
  end

  it "is the whole body, and its connection goes on" do
    wire = connect(reading { |input| input.read })
    big = Random.new(3).bytes(700_000)

    expect(wire.post("/", "some bytes \xFF\x00".b).body).to eq("some bytes \xFF\x00".b)
    expect(wire.post("/", big).body).to eq(big)
    expect(wire.get("/").body).to eq("")
  end

  it "keeps what came before the client left", rack: "3.0".. do
    seen = Queue.new
    server = reading(lint: false) do |input|
      seen << input.readpartial(1)
      input.read
    rescue SystemCallError => error
      seen << error.class << input.readpartial(100)
    end
    wire = connect(server)
    half(wire)
    expect(Patience.pop(seen)).to eq("h")
    http2? ? wire.abort : wire.close

    expect([Patience.pop(seen), Patience.pop(seen)]).to eq([Tidegate::BodyCut, "alf"])
  end

  it "is there before the body is", rack: "3.0".. do
    lines = Queue.new
    server = reading do |input|
      while (line = input.gets)
        lines << line
      end
      "done"
    end
    wire = connect(server)
    send = chunked(wire)
    send.call("first\n")
    expect(Patience.pop(lines)).to eq("first\n")
    send.call("sec", "ond\nth", "ird")
    expect(Patience.pop(lines)).to eq("second\n")
    send.call("")

    expect(Patience.pop(lines)).to eq("third")
    expect(wire.response.body).to eq("done")
  end

  it "answers while the body is still arriving", rack: "3.0".. do
    body = Object.new
    server = run_server(lint: false, stream_input: true) do |env|
      input = env["rack.input"]
      body.define_singleton_method(:each) { |&out| input.each { |line| out.call(line.upcase) } }
      [200, {}, body]
    end
    wire = connect(server)
    send = chunked(wire)
    send.call("one\n")
    expect(wire.read_until("ONE\n")).to end_with("ONE\n")
    send.call("two\n", "")

    expect(wire.read_until("TWO\n")).to end_with("TWO\n")
  end

  # Rails parses no body without a length and without chunks.
  it "tells the length where the client does, and calls it chunked where it does not, although HTTP/2 has no chunks", :http2 do
    server = reading { |_, env| env.values_at("CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING").inspect }
    client = connect(server)
    expect(client.post("/", "abc").body).to eq('["3", nil]')
    chunked(client).call("abc", "")

    expect(client.response.body).to eq('[nil, "chunked"]')
    expect(client.get("/").body).to eq("[nil, nil]")
  end

  it "tells the length where the client does, and that there are chunks where it does not", :http1 do
    server = reading { |_, env| env.values_at("CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING").inspect }
    wire = connect(server)
    expect(wire.post("/", "abc").body).to eq('["3", nil]')
    send = chunked(wire)
    send.call("abc", "")

    expect(wire.response.body).to eq('[nil, "chunked"]')
  end

  {
    "read(3) until nil" => [->(input) { [3, 3, 3, 3].map { |count| input.read(count) } }, ["abc", "\nde", "f", nil]],
    "read(0)" => [->(input) { [input.read(0), input.read, input.read(0), input.read, input.read(1)] }, ["", "abc\ndef", "", "", nil]],
    "read into a buffer" => [->(input) { (+"x").then { |buffer| [input.read(5, buffer), buffer, input.read(5, buffer), input.read(5, buffer), buffer] } }, nil],
    "gets" => [->(input) { [input.gets, input.gets, input.gets] }, ["abc\n", "def", nil]],
    "each" => [->(input) { [].tap { |lines| input.each { |line| lines << line } } }, ["abc\n", "def"]]
  }.each do |what, (use, expected)|
    it "answers #{what} as an IO does" do
      server = reading(lint: what == "gets") { |input| use.call(input).inspect }

      expect(connect(server).post("/", "abc\ndef").body).to eq((expected || use.call(StringIO.new("abc\ndef".b))).inspect)
    end
  end

  it "is binary", rack: "3.0".. do
    server = reading(lint: false) { |input| [input.external_encoding, input.read(1).encoding, input.gets.encoding].inspect }

    expect(connect(server).post("/", "\u00E9\u00E9").body).to eq(([Encoding::BINARY] * 3).inspect)
  end

  it "is parsed by Rack::Multipart while it arrives" do
    require "rack/request"
    server = reading { |_, env| Rack::Request.new(env).POST["file"].then { |file| [file[:filename], file[:tempfile].read.bytesize] }.inspect }
    file = "f" * 300_000
    body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n#{file}\r\n--b--\r\n"

    expect(connect(server).post("/", body, { "content-type" => "multipart/form-data; boundary=b" }).body).to eq('["a.bin", 300000]')
  end

  it "asks a client that waits with its body only when the app reads it", :http2 do
    server = reading(lint: false) { |input, env| env["PATH_INFO"] == "/no" ? "refused" : input.read }
    client = connect(server)
    expect_continue = { "expect" => "100-continue", "content-length" => "2" }
    client.request("POST", "/", expect_continue, end_stream: false)
    asked = client.wire.wait_for(client.stream, "100") { |it| it.informational.any? }
    expect(asked.informational).to eq([[%w[:status 100]]])
    expect(client.write("ok").half_close.response.body).to eq("ok")
    client.request("POST", "/no", expect_continue, end_stream: false)

    response = client.response.response
    expect([response.body, response.informational]).to eq(["refused", []])
  end

  it "asks a client that waits with its body only when the app reads it", :http1 do
    server = reading(lint: false) { |input, env| env["PATH_INFO"] == "/no" ? "refused" : input.read }
    wire = connect(server)
    expect_continue = { "expect" => "100-continue", "content-length" => "2" }
    wire.request("POST", "/", expect_continue)
    expect(wire.read_until("\r\n\r\n")).to eq("HTTP/1.1 100 Continue\r\n\r\n")
    expect(wire.write("ok").response.body).to eq("ok")
    wire.request("POST", "/no", expect_continue)

    expect(wire.response.body).to eq("refused")
  end

  it "raises when the client leaves in the middle, and does not look whole" do
    begun = Queue.new
    raised = Queue.new
    server = reading(lint: false) do |input|
      begun << true
      input.read
    rescue SystemCallError => error
      raised << error
      raise
    end
    wire = connect(server)
    half(wire)
    # A request whose client leaves before is not given to the app.
    Patience.pop(begun)
    wire.abort

    expect(Patience.pop(raised)).to be_a(Errno::ECONNRESET)
  end

  it "raises when the client stops sending" do
    server = reading(lint: false, body_timeout: 0.05) do |input|
      input.read
    rescue Errno::ETIMEDOUT => error
      error.message
    end
    wire = connect(server)

    expect(half(wire).response.body).to end_with("the client has stopped sending its request")
  end

  it "is refused where it is known to be too long, and raises where that shows later" do
    server = reading(lint: false, http_content_length_limit: 5) do |input|
      input.read
    rescue Tidegate::BodyTooLong
      "too long"
    end
    expect(connect(server).post("/", "123456").status).to eq(413)
    wire = connect(server)
    chunked(wire).call("1234", "5678")

    expect(wire.response.body).to eq("too long")
  end

  # Any client could fill the log with backtraces of the app, which had done nothing wrong, and was told 500.
  describe "of which the app does not rescue that it breaks off", :http1 do
    def refused(server, reason)
      wait_for_stat(server, :in_flight, 0)
      Wire.open(server.admin_address) { |wire| wire.get("/metrics").body }[/tidegate_requests_refused_total\{reason="#{reason}"\} (\d+)/, 1]
    end

    [
      ["is malformed", {}, "malformed", 400, ["zz\r\n"]],
      ["is malformed in its middle", {}, "malformed", 400, ["3\r\nabcdef\r\n"]],
      ["has a chunk size past all bounds", {}, "malformed", 400, ["ffffffffffffffffff\r\n"]],
      ["ends with the client's half of the connection", {}, "malformed", 400, ["3\r\nabc\r\n", :half_close]],
      ["stops", { body_timeout: 0.05 }, "body_timeout", 408, ["3\r\nabc\r\n"]],
      ["is not whole in time", { receive_timeout: 0.05 }, "body_timeout", 408, ["3\r\nabc\r\n"]],
      ["is too long", { http_content_length_limit: 5 }, "body_too_large", 413, ["8\r\n12345678\r\n"]]
    ].each do |what, options, reason, status, sent|
      it "#{what}: the client is told #{status}, it is counted, and the log stays empty" do
        raised = Queue.new
        server = run_server(lint: false, stream_input: true, admin: "tcp://127.0.0.1:0", **options) do |env|
          env["rack.response_finished"]&.push(->(_env, _status, _headers, error) { raised << error })
          [200, {}, [env["rack.input"].read]]
        end
        wire = connect(server)
        chunked(wire)
        sent.each { |bytes| bytes == :half_close ? wire.half_close : wire.write(bytes) }

        response = wire.response
        expect([response.status, response.headers["connection"]]).to eq([status, ["close"]])
        expect(Patience.pop(raised)).to be_a(Tidegate::ClientError)
        expect(refused(server, reason)).to eq("1")
        expect(errors.to_a).to eq([])
      end
    end

    it "is refused too where a body that yields has yielded nothing yet" do
      over = Queue.new
      body = Object.new
      server = run_server(lint: false, stream_input: true) do |env|
        body.define_singleton_method(:each) { |&out| out.call(env["rack.input"].read) }
        body.define_singleton_method(:close) { over << true }
        [200, {}, body]
      end
      wire = connect(server)
      chunked(wire)
      wire.write("zz\r\n")

      expect(wire.response.status).to eq(400)
      Patience.pop(over)
      expect(errors.to_a).to eq([])
    end

    it "is cut where the response has begun, and that is no error of the app's either", rack: "3.0".. do
      over = Queue.new
      body = Object.new
      server = run_server(lint: false, stream_input: true) do |env|
        body.define_singleton_method(:each) { |&out| env["rack.input"].each { |line| out.call(line) } }
        body.define_singleton_method(:close) { over << true }
        [200, {}, body]
      end
      wire = connect(server)
      chunked(wire).call("one\n")
      wire.read_until("one\n")
      wire.write("zz\r\n")

      Patience.pop(over)
      expect { wire.response }.to raise_error(StandardError)
      wait_for_stat(server, :in_flight, 0)
      expect(errors.to_a).to eq([])
    end

    it "is the app's to answer, where it rescues it" do
      server = reading(lint: false) do |input|
        input.read
      rescue Tidegate::BodyMalformed => error
        error.message
      end
      wire = connect(server)
      chunked(wire)
      wire.write("zz\r\n")

      expect(wire.response.body).to eq("the client has sent a request body that is not framed as HTTP wants it")
    end

    it "is an error of the app's where the app makes one of it" do
      server = reading(lint: false) do |input|
        input.read
      rescue Tidegate::ClientError
        raise "on purpose"
      end
      wire = connect(server)
      chunked(wire)
      wire.write("zz\r\n")

      expect(wire.response.status).to eq(500)
      expect(errors.wait_for(/raised RuntimeError: on purpose/)).to be_truthy
    end
  end

  it "that the app leaves unread is no part of the next request" do
    server = reading { |_, env| env["PATH_INFO"] }
    wire = connect(server)

    expect(wire.post("/first", "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n").body).to eq("/first")
    wire.request("GET", "/second")
    expect(wire.response.body).to eq("/second")
  rescue HTTPResponse::Cut
    expect(connect(server).get("/third").body).to eq("/third") # closed instead, which is as good
  end

  it "that breaks off is refused where the app does not rescue it, and the connection goes on", :http2 do
    [[{ body_timeout: 0.05 }, 408, "abc"], [{ http_content_length_limit: 5 }, 413, "12345678"]].each do |options, status, sent|
      server = run_server(lint: false, stream_input: true, **options) { |env| [200, {}, [env["rack.input"].read]] }
      client = connect(server)
      chunked(client).call(sent)

      expect(client.response.status).to eq(status)
      expect(client.get("/").status).to eq(200)
      expect(errors.to_a).to eq([])
    end
  end

  # What is left of a body must never be taken for the next request, whatever the app does after its response.
  it "that the app leaves unread while it is busy with a callback is no request, however long that takes", :http1 do
    go = Queue.new
    paths = Queue.new
    server = run_server(lint: false, stream_input: true, persistent_timeout: 0.2) do |env|
      paths << env["PATH_INFO"]
      env["rack.after_reply"] << -> { Patience.pop(go) }
      [200, {}, ["unread"]]
    end
    wire = connect(server)
    evil = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
    wire.write("POST /first HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: #{evil.bytesize}\r\n\r\n")
    expect(wire.response.body).to eq("unread")
    wire.write(evil)
    expect(wire).to be_ended
    go << true

    expect([paths.pop, paths.size]).to eq(["/first", 0])
  end

  it "can be waited for and interrupted" do
    wire, thread = half_an_upload
    thread.raise(ArgumentError, "enough")

    expect(wire.response.status).to eq(500)
    expect(errors.wait_for(/raised ArgumentError: enough/)).to be_truthy
  end

  it "is given up at once when its thread is killed: the connection does not wait for a reader that has gone" do
    wire, thread = half_an_upload
    thread.kill

    expect(wire.response.status).to eq(500)
    expect(wire).to be_ended unless http2?
  end

  it "read after the request raises" do
    inputs = Queue.new
    server = reading(lint: false) { |input| inputs << input }
    connect(server).post("/", "abc")
    wait_for_stat(server, :in_flight, 0)
    input = Patience.pop(inputs)

    Patience.until_true("the request to end") do
      input.read(1)
      false
    rescue IOError
      true
    end
  end

  # Over HTTP/2 the stream stayed open for body_timeout, counted against the client's streams and held up a drain.
  it "that another thread still waits for when the response is over is given up, and the thread told", rack: "3.0".. do
    threads = Queue.new
    server = reading(lint: false) do |input|
      thread = Thread.new { input.read }
      thread.report_on_exception = false
      Patience.until_true("the thread to wait") { thread.backtrace&.first&.include?("next") }
      threads << thread
      "early"
    end
    wire = connect(server)
    half(wire)

    expect(wire.response.body).to eq("early")
    expect { Patience.value_of(Patience.pop(threads)) }.to raise_error(IOError, "the request is over, and its body with it")
    wait_for_stat(server, :connections, 0) unless http2?
    expect(wire.wire.frame_that("gives the upload up") { |it| it.type == :rst_stream }.error).to eq(:no_error) if http2?
  end

  # The second had the place of the first, which waited for ever although all had come.
  it "may be read by several threads, each of which gets a part of it", rack: "3.0".. do
    waiting = Queue.new
    server = reading(lint: false) do |input|
      readers = Array.new(3) { Thread.new { input.read(4) } }
      waiting << readers
      readers.map(&:value).sort_by(&:to_s).inspect
    end
    wire = connect(server)
    send = chunked(wire)
    readers = Patience.pop(waiting)
    Patience.until_true("all to wait") { readers.all? { |reader| reader.status == "sleep" } }
    send.call("aa")
    send.call("aabb", "bb", "")

    expect(wire.response.body).to eq('[nil, "aaaa", "bbbb"]')
  end

  it "is rewindable for Rack 2, where that is asked for", rack: "2.2"..."3.0" do
    server = reading { |input| [input.read, input.rewind && input.read].inspect }

    expect(connect(server).post("/", "abc").body).to eq('["abc", "abc"]')
  end
end
