# frozen_string_literal: true

Protocols.describe("rack.input", :in_process) do
  # A server with an app that reads its input with the block and answers with the result.
  def reading(lint: true, **options)
    run_server(lint:, **options) do |env|
      [200, { "content-type" => "text/plain" }, [yield(env).to_s]]
    end
  end

  def input_class(env) = env["rack.input"].then { |input| input.respond_to?(:path) || input.is_a?(File) ? "file" : "memory" }

  it "is the whole body" do
    server = reading { |env| env["rack.input"].read }

    expect(connect(server).post("/", "some bytes \xFF\x00".b).body).to eq("some bytes \xFF\x00".b)
  end

  it "is binary" do
    server = reading(lint: false) { |env| [env["rack.input"].external_encoding, env["rack.input"].read.encoding].inspect }

    expect(connect(server).post("/", "\u00E9").body).to eq("[#{Encoding::BINARY.inspect}, #{Encoding::BINARY.inspect}]")
  end

  it "is empty where there is no body" do
    server = reading { |env| [env["rack.input"].read, env["rack.input"].read(5), env["rack.input"].gets, env["CONTENT_LENGTH"]].inspect }

    expect(connect(server).get("/").body).to eq('["", nil, nil, nil]')
  end

  it "is empty where the body has a length of zero" do
    server = reading { |env| [env["rack.input"].read, env["CONTENT_LENGTH"]].inspect }

    expect(connect(server).post("/", "").body).to eq('["", "0"]').or eq('["", nil]')
  end

  it "is read in pieces, to the end and to nil" do
    server = reading { |env| [3, 3, 3].map { |count| env["rack.input"].read(count) }.inspect }

    expect(connect(server).post("/", "abcde").body).to eq('["abc", "de", nil]')
  end

  it "is read into a buffer" do
    server = reading do |env|
      buffer = +""
      env["rack.input"].read(4, buffer)
      buffer
    end

    expect(connect(server).post("/", "abcde").body).to eq("abcd")
  end

  it "is read in lines" do
    server = reading do |env|
      lines = [env["rack.input"].gets]
      env["rack.input"].each { |line| lines << line }
      lines.inspect
    end

    expect(connect(server).post("/", "a\nb\nc").body).to eq(["a\n", "b\n", "c"].inspect)
  end

  it "can be read again" do
    server = reading(lint: false) { |env| [env["rack.input"].read, env["rack.input"].rewind, env["rack.input"].read].inspect }

    expect(connect(server).post("/", "abc").body).to eq('["abc", 0, "abc"]')
  end

  it "has the bytes of a body that comes without a length, and its length", :http2 do
    server = reading { |env| [env["rack.input"].read, env["CONTENT_LENGTH"], env["HTTP_TRANSFER_ENCODING"]].inspect }
    client = connect(server)
    client.request("POST", "/", end_stream: false).write("abc").write("").write("de").half_close

    expect(client.response.body).to eq('["abcde", "5", nil]')
  end

  it "has the bytes of a chunked body, its length, and no word of the chunks", :http1 do
    server = reading { |env| [env["rack.input"].read, env["CONTENT_LENGTH"], env["HTTP_TRANSFER_ENCODING"]].inspect }
    wire = connect(server)
    wire.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;extension=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n")

    expect(wire.response.body).to eq('["abcde", "5", nil]')
  end

  it "of a chunked body without a byte is empty", :http1 do
    server = reading { |env| env["rack.input"].read.inspect }
    wire = connect(server)

    expect(wire.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").response.body).to eq('""')
    expect(wire.get("/").body).to eq('""')
  end

  describe "of a large body in memory" do
    let(:body) { Random.new(1).bytes(1_000_000) }

    def buffered(server) = Wire.open(server.admin_address) { |wire| wire.get("/metrics").body }[/^tidegate_buffered_request_bytes (\d+)/, 1].to_i

    # Pieces that the server keeps, and some that it copies.
    def pieces_of(body)
      at = 0
      [1, 10, 100_000, 150_000, 300, 749_689].map { |size| body.byteslice((at += size) - size, size) }
    end

    it "reads like any other, and again" do
      server = reading do |env|
        input = env["rack.input"]
        [input.gets, input.read(3), input.read.hash, input.read(1)].inspect
      end

      expect(connect(server).post("/", "a line\nanother line\n".b + body).body)
        .to eq(["a line\n".b, "ano".b, ("ther line\n".b + body).hash, nil].inspect)
      server = reading(lint: false) { |env| [input_class(env), env["rack.input"].read.hash, env["rack.input"].rewind, env["rack.input"].read.hash].inspect }
      expect(connect(server).post("/", body).body).to eq(["memory", body.hash, 0, body.hash].inspect)
    end

    it "comes in pieces of any size", :http1 do
      server = reading(lint: false) { |env| [input_class(env), env["rack.input"].read.hash].inspect }
      wire = connect(server).write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
      pieces_of(body).each { |piece| wire.write(piece) }

      expect(wire.response.body).to eq(["memory", body.hash].inspect)
    end

    it "comes with a length, and without", :http2 do
      server = reading(lint: false) { |env| [input_class(env), env["CONTENT_LENGTH"], env["rack.input"].read.hash].inspect }
      [{}, { "content-length" => "1000000" }].each do |length|
        client = connect(server)
        client.request("POST", "/", length, end_stream: false)
        client.wire.send_body(client.stream, body)

        expect(client.response.body).to eq(["memory", "1000000", body.hash].inspect)
      end
    end

    it "comes in chunks", :http1 do
      server = reading(lint: false) { |env| [input_class(env), env["CONTENT_LENGTH"], env["rack.input"].read.hash].inspect }
      wire = connect(server)
      wire.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
      pieces_of(body).each { |piece| wire.write("#{piece.bytesize.to_s(16)}\r\n".b + piece + "\r\n") }

      expect(wire.write("0\r\n\r\n").response.body).to eq(["memory", "1000000", body.hash].inspect)
    end

    # Workers held bodies that counted for nothing.
    it "counts as long as the app is at the request" do
      during = []
      server = reading(lint: false, admin: "tcp://127.0.0.1:0") do |env|
        env["rack.input"].read
        during << buffered(servers.last)
      end
      wire = connect(server)
      2.times { wire.post("/", body) }
      wire.post("/", "small")

      expect(during).to eq([1_000_000, 1_000_000, 0])
      expect(buffered(server)).to eq(0)
    end

    it "is given back when the request is over, but for what the app has read of it" do
      kept = Queue.new
      server = reading(lint: false) do |env|
        kept << [env["rack.input"], env["rack.input"].string, env["rack.input"].read]
      end
      wire = connect(server)
      2.times { wire.post("/", body) }
      input, string, read = Patience.pop(kept)

      expect(input).to be_closed
      expect(string).to be_empty
      expect(read).to eq(body)
    end

    it "harms nothing where the app has frozen or closed it" do
      server = reading(lint: false) do |env|
        env["rack.input"].string.freeze
        env["rack.input"].read.bytesize.tap { env["rack.input"].close }
      end
      wire = connect(server)

      2.times { expect(wire.post("/", body).body).to eq("1000000") }
      expect(errors.to_s).to eq("")
    end
  end

  describe "of a body above the memory limit" do
    let(:body) { Random.new(1).bytes(300_000) }

    it "comes from a file" do
      server = reading(body_memory_limit: 1000, lint: false) { |env| [input_class(env), env["rack.input"].read.hash].inspect }
      wire = connect(server)

      expect(wire.post("/", body).body).to eq(["file", body.hash].inspect)
      expect(wire.post("/", "x" * 1000).body).to start_with('["memory"')
      expect(wire.post("/", "x" * 1001).body).to start_with('["file"')
    end

    it "reads like any other" do
      server = reading(body_memory_limit: 10) do |env|
        input = env["rack.input"]
        [input.gets, input.read(3), input.read, input.read(1)].inspect
      end

      expect(connect(server).post("/", "a line\nanother line\nthe rest").body)
        .to eq(["a line\n", "ano", "ther line\nthe rest", nil].inspect)
    end

    it "is read as a File is, from wherever it stands" do
      server = reading(body_memory_limit: 10, lint: false) do |env|
        input = env["rack.input"]
        middle = [input.gets, input.read, input.read, input.read(0), input.read(nil, +"old")]
        input.rewind
        input.ungetc("un")
        [*middle, input.read(nil, +"old"), input.rewind, input.set_encoding("UTF-8") && input.read.encoding].inspect
      end

      expect(connect(server).post("/", "a line\nand the rest").body)
        .to eq(["a line\n", "and the rest", "", "", "", "una line\nand the rest", 0, Encoding::UTF_8].inspect)
    end

    it "is read in one piece, without room for more" do
      require "objspace"
      server = reading(body_memory_limit: 10, lint: false) { |env| ObjectSpace.memsize_of(env["rack.input"].read) }

      expect(connect(server).post("/", body).body.to_i).to be_between(body.bytesize, body.bytesize + 1000)
    end

    it "can be read again" do
      server = reading(body_memory_limit: 10, lint: false) do |env|
        first = env["rack.input"].read
        env["rack.input"].rewind
        first == env["rack.input"].read
      end

      expect(connect(server).post("/", body).body).to eq("true")
    end

    it "comes without a length", :http2 do
      server = reading(body_memory_limit: 1000, lint: false) { |env| [input_class(env), env["CONTENT_LENGTH"], env["rack.input"].read.hash].inspect }
      client = connect(server)
      client.request("POST", "/", end_stream: false)
      client.wire.send_body(client.stream, body)

      expect(client.response.body).to eq(["file", "300000", body.hash].inspect)
    end

    it "is chunked", :http1 do
      server = reading(body_memory_limit: 1000, lint: false) { |env| [input_class(env), env["CONTENT_LENGTH"], env["rack.input"].read.hash].inspect }
      wire = connect(server)
      wire.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
      body.bytes.each_slice(70_000) { |piece| wire.write("#{piece.size.to_s(16)}\r\n".b + piece.pack("C*") + "\r\n") }

      expect(wire.write("0\r\n\r\n").response.body).to eq(["file", "300000", body.hash].inspect)
    end

    it "leaves no file behind" do
      Dir.mktmpdir do |directory|
        before = ENV.fetch("TMPDIR", nil)
        ENV["TMPDIR"] = directory
        server = reading(body_memory_limit: 10, lint: false) { |env| Dir.children(directory).inspect + env["rack.input"].read(1) }

        expect(connect(server).post("/", body).body).to start_with("[]")
        expect(Dir.children(directory)).to be_empty
      ensure
        ENV["TMPDIR"] = before
      end
    end

    it "is given back when the request is over" do
      inputs = Queue.new
      server = reading(body_memory_limit: 10, lint: false) { |env| inputs << env["rack.input"] }
      wire = connect(server)
      3.times { wire.post("/", body) }

      expect([Patience.pop(inputs), Patience.pop(inputs)]).to all(be_closed)
    end
  end

  it "closed by the app harms no other request" do
    server = reading(lint: false, body_memory_limit: 10) do |env|
      env["rack.input"].read.tap { env["rack.input"].close }
    end
    wire = connect(server)

    expect(wire.get("/").body).to eq("")
    expect(wire.get("/").body).to eq("")
    expect(wire.post("/", "memory").body).to eq("memory")
    expect(wire.post("/", "in a file, longer").body).to eq("in a file, longer")
    expect(wire.get("/").status).to eq(200)
    expect(errors.to_s).to eq("")
  end

  # Ruby was called while the thread was ending.
  it "whose close ends the thread takes that thread alone with it" do
    server = reading(lint: false, threads: "1:1") do |env|
      env["rack.input"].define_singleton_method(:close) { Thread.current.kill } if env["REQUEST_METHOD"] == "POST"
      "served"
    end
    expect(connect(server).post("/", "x" * 200_000).status).to eq(200)
    expect(connect(server).get("/").body).to eq("served")
  end

  it "that the app does not read is no part of the next request" do
    server = reading { |env| env["PATH_INFO"] }
    wire = connect(server)

    expect(wire.post("/first", "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n").body).to eq("/first")
    expect(wire.post("/second", "x" * 500_000).body).to eq("/second")
    expect(wire.get("/third").body).to eq("/third")
  end

  it "works with forms" do
    require "rack/request"
    server = run_server { |env| [200, { "content-type" => "text/plain" }, [Rack::Request.new(env).params.inspect]] }
    form = { "content-type" => "application/x-www-form-urlencoded" }

    expect(connect(server).post("/?q=1", "a=1&b=%C3%A4", form).body.force_encoding("UTF-8")).to eq({ "q" => "1", "a" => "1", "b" => "\u00E4" }.inspect)
  end
end
