# frozen_string_literal: true

# What an app says of its body's length: chunks that it has made itself, and a content-length that is wrong.

require "tmpdir"

Protocols.describe("a response body's framing", :in_process) do
  def each_body(*parts, &before_end)
    body = Object.new
    body.define_singleton_method(:each) do |&out|
      parts.each(&out)
      before_end&.call
    end
    body
  end

  def call_body(&call)
    body = Object.new
    body.define_singleton_method(:call, &call)
    body
  end

  # "/" is answered with what is given, anything else with "next".
  def answering(body, headers = {}, status: 200)
    run_server(lint: false) { |env| env["PATH_INFO"] == "/" ? [status, headers, body] : [200, {}, ["next"]] }
  end

  # What comes until the server ends the connection.
  def cut_off(server, request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n") = connect(server).write(request).rest

  describe "by the app, as chunks" do
    chunked = { "transfer-encoding" => "chunked" }

    # Puma passes such a body on as it is. It was framed twice here, so that clients saw sizes in the page.
    {
      "yielded" => -> { each_body("5\r\nhello\r\n", "1\r\n \r\n", "5\r\nworld\r\n", "0\r\n", "\r\n") },
      "divided anywhere" => -> { each_body(*"5\r\nhello\r\n1;a=b\r\n \r\n5\r\nworld\r\n0\r\nx-trailer: y\r\n\r\n".chars) },
      "an Array" => -> { ["b\r\nhello", " world\r\n", "0\r\n\r\n"] },
      "called" => -> { call_body { |stream| stream << "b\r\nhello world\r\n" << "0\r\n\r\n" } }
    }.each do |name, body|
      it "is taken apart and framed once where it is #{name}, and the connection goes on" do
        wire = connect(answering(instance_exec(&body), chunked))
        response = wire.get("/")

        expect([response.status, response.body]).to eq([200, "hello world"])
        expect([response["transfer-encoding"], response["content-length"]].compact.size).to eq(1) unless http2?
        expect(response["transfer-encoding"]).to be_nil if http2?
        expect(wire.get("/next").body).to eq("next")
      end
    end

    it "is known whatever the case of the header, and in lists" do
      [{ "Transfer-Encoding" => "CHUNKED" }, { "transfer-encoding" => ["identity", " Chunked "] }, { "transfer-encoding" => "identity\nchunked" }].each do |headers|
        expect(get(answering(each_body("1\r\nx\r\n0\r\n\r\n"), headers), "/").body).to eq("x")
      end
    end

    it "is known to no HTTP/1.0 client, which gets the content alone", :http1 do
      server = answering(each_body("5\r\nhello\r\n", "0\r\n\r\n"), chunked)

      expect(cut_off(server, "GET / HTTP/1.0\r\nhost: a\r\n\r\n")).to match(/\AHTTP\/1\.0 200 OK\r\n(?!.*transfer-encoding).*\r\n\r\nhello\z/m)
    end

    it "comes before a content-length, which would be read differently by others" do
      response = get(answering(each_body("5\r\nhello\r\n0\r\n\r\n"), { "content-length" => "3", **chunked }), "/")

      expect([response.body, response["content-length"]]).to eq(["hello", nil])
    end

    it "is not sent for HEAD" do
      wire = connect(answering(each_body("5\r\nhello\r\n0\r\n\r\n"), chunked))

      expect(wire.ask("HEAD", "/").status).to eq(200)
      expect(wire.get("/next").body).to eq("next")
    end

    # Rails' body raises there, which was a 500.
    it "is never asked for an Array or a path" do
      body = each_body("5\r\nhello\r\n0\r\n\r\n")
      %i[to_ary to_path to_io].each { |name| body.define_singleton_method(name) { raise "asked for #{name}" } }

      expect(get(answering(body, chunked), "/").body).to eq("hello")
    end

    it "is sent as it comes" do
      go = Queue.new
      body = each_body("5\r\nfirst\r\n", "0\r\n\r\n")
      body.define_singleton_method(:each) do |&out|
        out.call("5\r\nfirst\r\n")
        Patience.pop(go)
        out.call("0\r\n\r\n")
      end
      wire = connect(answering(body, chunked)).request("GET", "/")
      wire.read_until("first")
      go << true

      expect(http2? ? wire.rest : wire.read_until("0\r\n\r\n")).to eq(http2? ? "" : "\r\n0\r\n\r\n")
    end

    it "that is none is a 500 where nothing has gone out" do
      [["hello"], ["5\r\nhello\r\n"], [], each_body("hello"), each_body, call_body { |stream| stream << "hello" }].each do |body|
        wire = connect(answering(body, chunked))

        expect(wire.get("/").status).to eq(500)
        expect(wire.get("/next").body).to eq("next")
      end
      expect(errors.wait_for(/raised TypeError: the app set transfer-encoding: chunked, and its body is not in chunks: a chunk does not begin with its size/)).to be_truthy
    end

    {
      "does not end" => ["5\r\nhello\r\n"],
      "is longer than its size" => ["5\r\nhello\r\n", "3\r\nabcd\r\n0\r\n\r\n"],
      "goes on behind its end" => ["5\r\nhello\r\n", "0\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"],
      "is none after all" => ["5\r\nhello\r\n", "<html>"]
    }.each do |name, parts|
      it "that #{name} is reset, and told of", :http2 do
        client = connect(answering(each_body(*parts), chunked)).request("GET", "/")

        expect(client.read_until("hello")).to eq("hello")
        expect { client.response }.to raise_error(HTTPResponse::Cut, /internal_error/)
        expect(errors.wait_for(/raised TypeError: the app set transfer-encoding: chunked, and its body is not in chunks/)).to be_truthy
      end

      it "that #{name} is cut visibly, and told of", :http1 do
        received = cut_off(answering(each_body(*parts), chunked))

        expect(received).to match(/\r\n\r\n5\r\nhello\r\n/)
        expect(received).not_to include("\r\n0\r\n\r\n")
        expect(received.scan("HTTP/1.1 ").size).to eq(1)
        expect(errors.wait_for(/raised TypeError: the app set transfer-encoding: chunked, and its body is not in chunks/)).to be_truthy
      end
    end

    ["gzip, chunked", "chunked, chunked", "gzip", "chunked, gzip"].each do |codings|
      it "with the transfer-encoding #{codings} is refused: no client has asked for such" do
        expect(get(answering(["0\r\n\r\n"], { "transfer-encoding" => codings }), "/").status).to eq(500)
        expect(errors.wait_for(/raised TypeError: the app returned the transfer-encoding #{codings}: only chunked is known/)).to be_truthy
      end
    end

    it "is what Rack::Chunked makes of a body", rack: ..."3.1" do
      app = ->(env) { [200, {}, env["PATH_INFO"] == "/" ? each_body("hello", " world") : ["next"]] }
      wire = connect(run_server(Rack::Chunked.new(app), lint: false))

      2.times { expect(wire.get("/").body).to eq("hello world") }
      expect(wire.get("/next").body).to eq("next")
    end

    it "is left to an app that hijacks the connection", :http1 do
      hijack = ->(io) { io.write("1\r\nx\r\n0\r\n\r\n") && io.close }
      response = get(answering([], { "rack.hijack" => hijack, **chunked }), "/")

      expect([response["transfer-encoding"], response.body]).to eq(%w[chunked x])
    end
  end

  describe "by a content-length that is too long" do
    # Neither head nor body was sent: proxies take that for a server that is gone, and ask again.
    {
      "an Array" => -> { ["hello"] },
      "an Array of several parts" => -> { ["he", "llo"] },
      "yielded" => -> { each_body("he", "llo") },
      "an Enumerator" => -> { %w[he llo].each },
      "called" => -> { call_body { |stream| stream << "he" << "llo" } },
      "a file" => lambda do
        File.write(path = File.join(@directory = Dir.mktmpdir("tidegate"), "file"), "hello")
        File.open(path)
      end
    }.each do |name, body|
      it "is sent as far as it goes, and reset, where the body is #{name}", :http2 do
        client = connect(answering(instance_exec(&body), { "content-length" => "9" })).request("GET", "/")

        expect { client.response }.to raise_error(HTTPResponse::Cut) { |cut| expect(cut.partial).to eq("hello") }
        expect([client.head.status, client.head["content-length"]]).to eq([200, "9"])
        expect(client.get("/next").body).to eq("next")
      ensure
        FileUtils.rm_rf(@directory) if @directory
      end

      it "is sent as far as it goes, and cut, where the body is #{name}", :http1 do
        received = cut_off(answering(instance_exec(&body), { "content-length" => "9" }))

        expect(received).to match(/\AHTTP\/1\.1 200 OK\r\n.*^content-length: 9\r\n.*\r\n\r\nhello\z/m)
      ensure
        FileUtils.rm_rf(@directory) if @directory
      end
    end
  end

  describe "by a content-length that is too short" do
    {
      "an Array" => -> { ["hello"] },
      "yielded" => -> { each_body("h", "e", "l", "", "lo") },
      "called" => -> { call_body { |stream| stream << "hel" << "" << "lo" } }
    }.each do |name, body|
      it "is all that is sent where the body is #{name}, and the connection goes on" do
        wire = connect(answering(instance_exec(&body), { "content-length" => "2" }))

        expect(wire.get("/").body).to eq("he")
        expect(wire.get("/next").body).to eq("next")
      end
    end

    # The client was said to be gone, so that the app was told of an error of which it knows nothing.
    it "lets the app come to its end" do
      over = Queue.new
      wire = connect(answering(each_body("he", "", "llo") { over << true }, { "content-length" => "2" }))

      expect(wire.get("/").body).to eq("he")
      expect(Patience.pop(over)).to be(true)
    end

    it "ends an app that never does" do
      ended = Queue.new
      body = Object.new
      body.define_singleton_method(:each) do |&out|
        loop { out.call("x" * 1000) }
      rescue IOError => error
        ended << error.message
        raise
      end

      expect(get(answering(body, { "content-length" => "2" }), "/").body).to eq("xx")
      expect(Patience.pop(ended)).to eq("the response is longer than its content-length")
    end

    it "is no matter for a body of just that length that goes on yielding nothing" do
      over = Queue.new
      wire = connect(answering(each_body("he", "", "") { over << true }, { "content-length" => "2" }))

      expect(wire.get("/").body).to eq("he")
      expect(Patience.pop(over)).to be(true)
      stop_servers
      expect(errors.to_s).to eq("")
    end
  end

  describe "where there is no content" do
    [204, 205, 304].each do |status|
      it "is none with #{status}, whatever the app gives" do
        bodies = [["hello"], each_body("hello"), call_body { |stream| stream << "hello" }, []]
        bodies.product([{}, { "content-length" => "5" }, { "transfer-encoding" => "chunked" }]) do |body, headers|
          wire = connect(answering(body, headers, status:))
          response = wire.get("/")

          expect([response.status, response.body, response["transfer-encoding"]]).to eq([status, "", nil])
          expect(response["content-length"]).to eq(status == 205 ? "0" : nil) unless status == 304 || (http2? && status == 205)
          expect(wire.get("/next").body).to eq("next")
        end
      end
    end

    it "gives the connection to no app that wants to write a body" do
      called = false
      hijack = lambda do |io|
        called = true
        io.close
      end
      wire = connect(answering([], { "rack.hijack" => hijack, "content-length" => "5" }))

      expect(wire.ask("HEAD", "/")["content-length"]).to eq("5")
      expect(wire.get("/next").body).to eq("next")
      expect(called).to be(false)
    end
  end

  describe "of an app that fails" do
    it "is a 500 where nothing was yielded, with the app's own page for it" do
      body = each_body { raise "on purpose" }
      own = run_server(lint: false, lowlevel_error_handler: ->(error) { [503, {}, [error.message]] }) { |_env| [200, {}, body] }

      expect(get(answering(body), "/").status).to eq(500)
      expect([get(own, "/").status, get(own, "/").body]).to eq([503, "on purpose"])
      expect(errors.wait_for(/^tidegate: GET \/ raised RuntimeError: on purpose$/)).to be_truthy
    end

    it "is a 500 where a body that is called fails before it writes" do
      wire = connect(answering(call_body { |_stream| raise "on purpose" }))

      expect(wire.get("/").status).to eq(500)
      expect(wire.get("/next").body).to eq("next")
    end

    it "is a 500 where its thread is killed before it has yielded" do
      expect(get(answering(each_body { Thread.current.kill }), "/").status).to eq(500)
    end

    # An empty reply makes a proxy ask again; and what was yielded is what people look at.
    it "is what was yielded, and then a reset", :http2 do
      [each_body("first", " part") { raise "on purpose" }, call_body { |stream| stream << "first" << " part" && raise("on purpose") }].each do |body|
        client = connect(answering(body)).request("GET", "/")

        expect { client.response }.to raise_error(HTTPResponse::Cut) { |cut| expect(cut.partial).to eq("first part") }
        expect(client.head.status).to eq(200)
      end
    end

    it "is what was yielded, and then a cut", :http1 do
      [each_body("first", " part") { raise "on purpose" }, call_body { |stream| stream << "first" << " part" && raise("on purpose") }].each do |body|
        received = cut_off(answering(body))

        expect(received).to start_with("HTTP/1.1 200 OK\r\n")
        expect(received.split("\r\n\r\n", 2).last.gsub(/^\h+\r\n|\r\n/, "")).to eq("first part")
        expect(received).not_to end_with("0\r\n\r\n")
      end
    end

    it "is all that was yielded, however much" do
      part = "0123456789" * 10_000
      wire = connect(answering(each_body(*[part] * 20) { raise "on purpose" }, { "content-length" => "9999999" })).request("GET", "/")

      expect { wire.response }.to raise_error(HTTPResponse::Cut) { |cut| expect(cut.partial == part * 20).to be(true) }
    end
  end

  it "is begun at once where the app flushes, and soon where it has nothing to say yet" do
    done = Queue.new
    flushes = call_body { |stream| stream.flush && Patience.pop(done) }
    silent = each_body { Patience.pop(done) }
    [flushes, silent].each do |body|
      wire = connect(answering(body)).request("GET", "/")

      if http2? then expect(wire.head.status).to eq(200)
      else expect(wire.read_until("\r\n\r\n")).to start_with("HTTP/1.1 200 OK\r\n")
      end
      done << true
      http2? ? wire.response : wire.read_until("0\r\n\r\n")
    end
  end

  it "is of a status that has no name", :http1 do
    [[299, ""], [413, "Content Too Large"], [422, "Unprocessable Content"], [599, ""]].each do |status, reason|
      wire = connect(answering(["x"], status:)).request("GET", "/")

      expect(wire.line).to eq("HTTP/1.1 #{status} #{reason}")
    end
  end
end
