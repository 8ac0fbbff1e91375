# frozen_string_literal: true

Protocols.describe("a response body", :in_process) do
  # A body that counts how often it is closed, and says so when it is.
  body_class = Class.new do
    attr_reader :closed

    def initialize(&each)
      @each = each
      @closed = Queue.new
    end

    def each(&) = @each.call(&)

    def close = @closed << Thread.current.name
  end

  # The same with `call` in the place of `each`.
  streaming_class = Class.new do
    attr_reader :closed

    def initialize(&call)
      @call = call
      @closed = Queue.new
    end

    def call(stream) = @call.call(stream)

    def close = @closed << Thread.current.name
  end

  define_method(:each_body) { |&block| body_class.new(&block) }
  define_method(:call_body) { |&block| streaming_class.new(&block) }

  def answering(body, headers = { "content-type" => "text/plain" }, status: 200, **)
    run_server(**) { |_env| [status, headers, body] }
  end

  # Waits until the body was closed, and makes sure that it is not closed again.
  def expect_closed_once(body)
    Patience.pop(body.closed, "the body to be closed")
    stop_servers
    expect(body.closed).to be_empty, "the body was closed more than once"
  end

  it "that is an Array of one part goes out with its length" do
    response = get(answering(["hello"], lint: RackRelease.lint_keeps_arrays?), "/")

    expect(response.body).to eq("hello")
    expect(response["content-length"]).to eq("5")
  end

  it "that is an Array of several parts goes out as one" do
    response = get(answering(["a", "", "\u00E4", "\xFF".b]), "/")

    expect(response.body).to eq("a\u00E4\xFF".b)
    expect(response["content-length"] || "4").to eq("4")
  end

  it "that is an empty Array has a length of zero" do
    response = get(answering([], lint: RackRelease.lint_keeps_arrays?), "/")

    expect(response.body).to eq("")
    expect(response["content-length"]).to eq("0")
  end

  it "that is a large Array is whole" do
    parts = Array.new(50) { |number| number.to_s * 50_000 }

    expect(get(answering(parts), "/").body).to eq(parts.join)
  end

  # More than all buffers between a server and a client that does not read.
  large = 32 * 1024 * 1024

  {
    "of one part" => ->(string) { [string] },
    "of several parts" => ->(string) { ["begin ", string, string, " end"] },
    "of one part that is frozen and part of another" => ->(string) { [string.freeze[0..-2]] }
  }.each do |name, parts|
    it "that is an Array #{name} is sent as it was, whatever the app and the collector do with the strings then" do
      string = "a" * large
      sent = parts.call(string)
      expected = sent.join
      over = Queue.new
      server = run_server(lint: false) do |env|
        env["rack.response_finished"] << ->(*) { over << true }
        [200, { "content-type" => "text/plain" }, sent]
      end
      wire = connect(server).request("GET", "/")
      Patience.pop(over)
      sent.last.setbyte(0, 0x62) unless sent.last.frozen?
      string << "more" unless string.frozen?
      string = nil # rubocop:disable Lint/UselessAssignment -- so that the collector may take it
      sent.clear
      GC.start
      Array.new(4) { "b" * large }.clear
      GC.compact if GC.respond_to?(:compact)

      expect(wire.response.body == expected).to be true
    end
  end

  it "is given back to the collector once it is sent" do
    size = 123_457
    server = run_server { |env| [200, { "content-type" => "text/plain" }, [env["PATH_INFO"] == "/" ? "a" * size : "the end"]] }
    40.times { get(server, "/") }
    get(server, "/next")
    2.times { GC.start }

    # What the machine's stacks still seem to refer to is kept a while.
    expect(ObjectSpace.each_object(String).count { |string| string.bytesize == size }).to be < 10
  end

  it "that yields one frozen string again and again, and one that it fills anew, is sent as it was yielded" do
    frozen = ("f" * 20_000).freeze
    body = each_body do |&out|
      buffer = +""
      20.times do |number|
        out.call(frozen)
        out.call(buffer.replace(number.to_s * 20_000))
      end
    end

    expect(get(answering(body), "/").body == Array.new(20) { |number| frozen + (number.to_s * 20_000) }.join).to be true
  end

  it "that yields is whole, and its connection can be used again" do
    body = each_body { |&out| 3.times { |number| out.call("part #{number};") } }
    server = run_server { |env| env["PATH_INFO"] == "/" ? [200, { "content-type" => "text/plain" }, body] : [200, { "content-type" => "text/plain" }, ["next"]] }
    wire = connect(server)

    expect(wire.get("/").body).to eq("part 0;part 1;part 2;")
    expect(wire.get("/next").body).to eq("next")
  end

  it "that yields nothing is empty" do
    expect(get(answering(each_body { |&_out| nil }), "/").body).to eq("")
  end

  it "that yields empty strings does not end with them" do
    body = each_body { |&out| ["a", "", "b"].each(&out) }

    expect(get(answering(body), "/").body).to eq("ab")
  end

  it "that yields much is whole" do
    chunk = "0123456789" * 10_000
    body = each_body { |&out| 50.times { out.call(chunk) } }

    expect(get(answering(body), "/").body).to eq(chunk * 50)
  end

  it "that yields with a length declared has that length and no chunks" do
    response = get(answering(each_body { |&out| %w[ab cd].each(&out) }, { "content-type" => "text/plain", "content-length" => "4" }), "/")

    expect(response.body).to eq("abcd")
    expect(response.headers).to include("content-length" => ["4"])
    expect(response).not_to be_chunked
  end

  it "of which the app keeps the block cannot be written to once the response is over, wherever that block is called" do
    kept = Queue.new
    body = each_body do |&out|
      kept << out
      Thread.new { out.call("from a thread, ") }.join
      Fiber.new { out.call("from a fiber, ") }.resume
      out.call("from each")
    end
    expect(get(answering(body), "/").body).to eq("from a thread, from a fiber, from each")
    expect_closed_once(body)
    GC.start
    out = Patience.pop(kept)

    [-> { out.call("late") }, -> { Thread.new { out.call("late") }.tap { |thread| thread.report_on_exception = false }.value }].each do |late|
      expect(&late).to raise_error(IOError, "the response is over")
    end
  end

  it "that leaves each by a throw, or by a break in an iterator of its own, ends there" do
    thrown = each_body { |&out| catch(:enough) { 3.times { |number| number == 2 ? throw(:enough) : out.call(number.to_s) } } }
    broken = each_body { |&out| loop { out.call("once") && break } }

    expect([thrown, broken].map { |body| get(answering(body), "/").body }).to eq(%w[01 once])
  end

  it "is sent as it was when it was yielded, whatever the app does with the string then" do
    body = each_body do |&out|
      buffer = +"first "
      out.call(buffer)
      out.call(buffer.replace("second"))
      buffer.replace("never")
    end

    expect(get(answering(body, lint: false), "/").body).to eq("first second")
  end

  it "that has to_ary is an Array" do
    body = Struct.new(:closed) do
      def each = raise("to_ary comes first")

      def to_ary
        close
        %w[a b]
      end

      def close = closed << Thread.current.name
    end.new(Queue.new)

    expect(get(answering(body, lint: false), "/").body).to eq("ab")
    expect_closed_once(body)
  end

  it "with a to_ary that returns no Array, as in Rails with an Enumerator, is iterated" do
    [%w[a b].each, nil].each do |to_ary|
      body = each_body { |&out| %w[a b].each(&out) }
      body.define_singleton_method(:to_ary) { to_ary }

      expect(get(answering(body, lint: false), "/").body).to eq("ab")
    end
  end

  it "that is called writes to a stream", rack: "3.0".. do
    body = call_body do |stream|
      stream.write("a")
      stream << "b" << "c"
      stream.flush
      stream.close
    end
    server = answering(body)

    expect(get(server, "/").body).to eq("abc")
    expect_closed_once(body)
  end

  it "that is called is whole also where the app leaves the stream open", rack: "3.0".. do
    expect(get(answering(call_body { |stream| stream.write("all of it") }), "/").body).to eq("all of it")
    expect(get(answering(call_body { |stream| stream.write("as ", :IO, " does") }), "/").body).to eq("as IO does")
  end

  it "that is called can be written to by another thread, after the call", rack: "3.0".. do
    go = Queue.new
    body = call_body do |stream|
      Thread.new do
        Patience.pop(go)
        stream.write("later")
        stream.close
      end.join
    end
    server = answering(body)
    wire = connect(server)
    wire.request("GET", "/")
    go << true

    expect(wire.response.body).to eq("later")
  end

  describe "of a response that has none" do
    it "is not sent for HEAD, but its length is told" do
      server = answering(["hello"], lint: false)
      wire = connect(server)

      expect(wire.ask("HEAD", "/")["content-length"]).to eq("5")
      expect(wire.get("/").body).to eq("hello")
    end

    it "keeps the length that the app declares for HEAD" do
      wire = connect(answering([], { "content-type" => "text/plain", "content-length" => "1234" }))

      expect(wire.ask("HEAD", "/")["content-length"]).to eq("1234")
      expect(wire.ask("HEAD", "/").status).to eq(200)
    end

    [204, 304].each do |status|
      it "is not sent with #{status}" do
        server = run_server { |env| env["PATH_INFO"] == "/" ? [status, {}, []] : [200, { "content-type" => "text/plain" }, ["next"]] }
        wire = connect(server)
        response = wire.get("/")

        expect([response.status, response.body, response["transfer-encoding"]]).to eq([status, "", nil])
        expect(response["content-length"]).to be_nil if status == 204
        expect(wire.get("/next").body).to eq("next")
      end

      it "is not sent with #{status}, even if the app gives one" do
        body = each_body { |&out| out.call("never") }
        server = run_server(lint: false) { |env| env["PATH_INFO"] == "/" ? [status, {}, body] : [200, {}, ["next"]] }
        wire = connect(server)

        expect(wire.get("/").status).to eq(status)
        expect(wire.get("/next").body).to eq("next")
        expect_closed_once(body)
      end
    end
  end

  describe "is closed once" do
    it "when it was sent" do
      body = each_body { |&out| out.call("x") }
      server = run_server { |env| [200, { "content-type" => "text/plain" }, env["PATH_INFO"] == "/" ? body : ["x"]] }
      get(server, "/")

      expect_closed_once(body)
    end

    it "for HEAD" do
      body = each_body { |&_out| raise "it was not asked for" }
      server = run_server { |env| [200, { "content-type" => "text/plain" }, env["PATH_INFO"] == "/" ? body : ["x"]] }
      connect(server).ask("HEAD", "/")

      expect_closed_once(body)
    end

    it "when each raises" do
      body = each_body { |&_out| raise "on purpose" }
      server = run_server { |env| [200, { "content-type" => "text/plain" }, env["PATH_INFO"] == "/" ? body : ["x"]] }

      expect(get(server, "/").status).to eq(500)
      expect_closed_once(body)
    end

    it "when the headers cannot be sent" do
      body = each_body { |&out| out.call("x") }
      server = run_server(lint: false) { |env| [200, env["PATH_INFO"] == "/" ? { "x" => "a\0b" } : {}, body] }

      expect(get(server, "/").status).to eq(500)
      Patience.pop(body.closed)
      expect(body.closed).to be_empty
    end

    it "when the client has gone" do
      gone = Queue.new
      body = each_body do |&out|
        loop { out.call("x" * 10_000) }
      rescue SystemCallError, IOError => error
        gone << error
        raise
      end
      server = run_server { |env| [200, { "content-type" => "text/plain" }, env["PATH_INFO"] == "/" ? body : ["x"]] }
      wire = connect(server)
      wire.request("GET", "/").read_until("xxxx")
      wire.abort

      expect(Patience.pop(gone)).to be_a(Errno::EPIPE)
      expect_closed_once(body)
      expect(errors.to_s).not_to include("EPIPE")
    end

    it "when its thread is killed" do
      entered = Queue.new
      body = each_body do |&out|
        out.call("first")
        entered << Thread.current
        Queue.new.pop
      end
      server = run_server { |env| [200, { "content-type" => "text/plain" }, env["PATH_INFO"] == "/" ? body : ["x"]] }
      wire = connect(server)
      wire.request("GET", "/")
      Patience.pop(entered).kill

      expect { wire.response }.to raise_error(HTTPResponse::Cut)
      expect_closed_once(body)
    end

    it "when close itself raises, which is logged and harms no response" do
      body = each_body { |&out| out.call("whole") }
      body.define_singleton_method(:close) do
        closed << 1
        raise "close failed"
      end
      server = run_server { |env| [200, { "content-type" => "text/plain" }, env["PATH_INFO"] == "/" ? body : ["x"]] }

      expect(get(server, "/").body).to eq("whole")
      expect(errors.wait_for(/^tidegate: GET \/ raised RuntimeError: close failed/)).to be_truthy
      expect_closed_once(body)
    end
  end

  it "that raises in each is reset, and not ended as if it were whole", :http2 do
    body = each_body do |&out|
      out.call("first part")
      raise "the database is gone"
    end
    client = connect(answering(body))
    client.request("GET", "/")

    expect(client.read_until("first part")).to eq("first part")
    expect { client.response }.to raise_error(HTTPResponse::Cut, /internal_error/)
    expect(errors.wait_for(/^tidegate: GET \/ raised RuntimeError: the database is gone, after the response had begun$/)).to be_truthy
  end

  it "that raises in each is cut, and not ended as if it were whole", :http1 do
    body = each_body do |&out|
      out.call("first part")
      raise "the database is gone"
    end
    wire = connect(answering(body))
    wire.request("GET", "/")

    expect(wire.read_until("first part")).to start_with("HTTP/1.1 200 OK\r\n")
    expect(wire.rest).to eq("\r\n")
    expect(errors.wait_for(/^tidegate: GET \/ raised RuntimeError: the database is gone, after the response had begun$/)).to be_truthy
  end

  it "that raises in each is cut for HTTP/1.0 too, where only a reset can tell", :http1 do
    go = Queue.new
    body = each_body do |&out|
      out.call("first part")
      Patience.pop(go)
      raise "on purpose"
    end
    wire = connect(answering(body))
    wire.write("GET / HTTP/1.0\r\nHost: a\r\n\r\n").read_until("first part")
    go << true

    expect(wire).to be_reset
  end

  describe "with a length that is wrong" do
    def wrong(length, body)
      run_server(lint: false) do |env|
        env["PATH_INFO"] == "/" ? [200, { "content-length" => length }, body] : [200, {}, ["next"]]
      end
    end

    ["ten", "-1", "+10", "0x0a", "10, 10", "4, 10", %w[4 10], "10 10", "99999999999999999999999"].each do |length|
      it "that is #{length.inspect}, is not sent" do
        server = wrong(length, ["0123456789"])
        response = get(server, "/")

        # An error of the app, or framed by the server.
        expect([200, 500]).to include(response.status)
        expect(response["content-length"] || response.body.bytesize.to_s).to eq(response.body.bytesize.to_s)
      end
    end
  end

  it "that can neither be iterated nor called is an error of the app" do
    server = run_server(lint: false) { |_env| [200, {}, 42] }

    expect(get(server, "/").status).to eq(500)
    expect(errors.wait_for(/raised TypeError: the app returned the body 42/)).to be_truthy
  end

  it "that is a String is an error of the app" do
    expect(get(run_server(lint: false) { |_env| [200, {}, "text"] }, "/").status).to eq(500)
  end
end
