# frozen_string_literal: true

# Fields behind a body (RFC 9110 §6.5). Rack has no word for them: tidegate.trailers has the request's, tidegate.send_trailers takes
# the response's.

Protocols.describe("trailers", :in_process) do
  # A POST with trailers, given as pairs.
  def post(client, body, trailers)
    return client.ask("POST", "/", body:, trailers:) if http2?

    fields = trailers.map { |name, value| "#{name}: #{value}\r\n" }.join
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n#{body.bytesize.to_s(16)}\r\n#{body}\r\n0\r\n#{fields}\r\n").response
  end

  # The response to a GET, and its trailers as a hash.
  def fetch(client)
    if http2?
      response = client.get("/", { "te" => "trailers" })
      return [response, response.trailers.to_a.group_by(&:first).transform_values { |pairs| pairs.map(&:last).join(", ") }]
    end

    client.request("GET", "/", { "te" => "trailers" })
    response = HTTPResponse.read(client, trailers: true)
    [response, response.trailers]
  end

  describe "of a request" do
    def answering_with_trailers(**)
      run_server(**) { |env| [200, { "content-type" => "text/plain" }, [[env["rack.input"].read, env["tidegate.trailers"]].inspect]] }
    end

    it "are a Hash in env, names in small letters, values of one name joined" do
      response = post(connect(answering_with_trailers), "body", [%w[x-sum 1], %w[x-list a], %w[x-list b], %w[empty] + [""]])

      expect(response.body).to eq(["body", { "x-sum" => "1", "x-list" => "a, b", "empty" => "" }].inspect)
    end

    it "are no headers, whatever they are called" do
      server = run_server { |env| [200, { "content-type" => "text/plain" }, [env.values_at("HTTP_X_SUM", "HTTP_HOST", "CONTENT_TYPE").inspect]] }
      response = post(connect(server), "body", [%w[x-sum 1], %w[host evil], %w[content-type a/b]])

      expect(response.body).to match(/\A\[nil, "(a|example.org)", nil\]\z/)
    end

    it "are not there where there are none" do
      client = connect(answering_with_trailers)

      expect(client.post("/", "body").body).to eq('["body", nil]')
      expect(client.get("/").body).to eq('["", nil]')
    end

    it "are there once the body is read, where that is read as it arrives" do
      seen = Queue.new
      server = run_server(lint: false, stream_input: true) do |env|
        seen << env["tidegate.trailers"].dup
        env["rack.input"].read
        seen << env["tidegate.trailers"]
        [200, {}, []]
      end
      post(connect(server), "body", [%w[x-sum 1]])

      expect([Patience.pop(seen), Patience.pop(seen)]).to eq([{}, { "x-sum" => "1" }]).or eq([{ "x-sum" => "1" }, { "x-sum" => "1" }])
    end
  end

  describe "of a response" do
    let(:raised) { Queue.new }

    # An app that sends trailers and then returns what the block does; what `send_trailers` raises is kept.
    def sending(trailers = { "x-sum" => "1" }, headers = { "content-type" => "text/plain" }, **)
      run_server(**) do |env|
        send_trailers = env["tidegate.send_trailers"]
        give = lambda do |fields = trailers|
          send_trailers.call(fields)
          true
        rescue IOError, TypeError => error
          raised << error
        end
        [200, headers, yield(give)]
      end
    end

    def each_body(&each) = Object.new.tap { |body| body.define_singleton_method(:each) { |&out| each.call(out) } }

    bodies = {
      "an Array" => ->(give) { give.call && ["a", "b"] },
      "an Array of nothing" => ->(give) { give.call && [] },
      "what each yields" => ->(give) { give.call && %w[a b].each },
      "a file" => lambda do |give|
        give.call
        File.open(__FILE__)
      end
    }
    bodies.each do |what, body|
      it "go behind #{what}, where they are given before the app returns" do
        client = connect(sending(lint: false) { |give| instance_exec(give, &body) })
        2.times do
          response, trailers = fetch(client)

          expect([response.status, response["content-length"], trailers]).to eq([200, nil, { "x-sum" => "1" }])
          expect(response.body).to eq({ "a file" => File.binread(__FILE__), "an Array of nothing" => "" }.fetch(what, "ab"))
        end
        expect(raised).to be_empty
      end
    end

    it "may come from the end of the body that is called, or yields", rack: "3.0".. do
      [
        ->(give) { each_body { |out| out.call("ab").then { give.call } } },
        lambda do |give|
          lambda do |stream|
            stream << "ab"
            give.call
            stream.close
          end
        end
      ].each do |body|
        # HTTP/1 wants their names in the head.
        client = connect(sending({ "x-sum" => "1" }, { "content-type" => "text/plain", "trailer" => "X-Sum" }, lint: false) { |give| body.call(give) })
        response, trailers = fetch(client)

        expect([response.body, trailers]).to eq(["ab", { "x-sum" => "1" }])
      end
    end

    it "need no announcement over HTTP/2", :http2 do
      response, trailers = fetch(connect(sending { |give| each_body { |out| out.call("ab").then { give.call } } }))

      expect([response.body, trailers, response["trailer"]]).to eq(["ab", { "x-sum" => "1" }, nil])
    end

    it "come too late over HTTP/1 where the head has not named them, which raises", :http1 do
      response, trailers = fetch(connect(sending { |give| each_body { |out| out.call("ab").then { give.call } } }))

      expect([response.body, trailers]).to eq(["ab", {}])
      expect(Patience.pop(raised).message).to eq("over HTTP/1 the trailer x-sum has to be given, or named in the header trailer, before the response begins")
    end

    it "may be several, of one name too, and are replaced by later ones" do
      server = sending({ "x-list" => %w[a b], "x-sum" => "0" }, lint: false) { |give| give.call && give.call({ "x-sum" => "1" }) && ["x"] }

      expect(fetch(connect(server)).last).to eq({ "x-list" => "a, b", "x-sum" => "1" })
    end

    it "come too late where the response declares a length, or is over" do
      bodies = [
        [{ "content-length" => "2" }, ->(give) { each_body { |out| out.call("ab").then { give.call } } }, /declares a length/],
        [{}, ->(give) { ["ab"].tap { |body| body.define_singleton_method(:close) { give.call } } }, /is over/]
      ]
      bodies.each do |headers, body, message|
        response, trailers = fetch(connect(sending({ "x-sum" => "1" }, headers, lint: false) { |give| body.call(give) }))

        expect([response.body, trailers]).to eq(["ab", {}])
        expect(raised.pop.message).to match(message) unless raised.empty? && headers.empty?
      end
    end

    it "take the place of the length that the app has declared, where they are given before" do
      response, trailers = fetch(connect(sending({ "x-sum" => "1" }, { "content-length" => "2" }, lint: false) { |give| give.call && ["ab"] }))

      expect([response.body, response["content-length"], trailers]).to eq(["ab", nil, { "x-sum" => "1" }])
    end

    it "are fields that can come behind a body" do
      server = run_server(lint: false) do |env|
        %w[content-length content-type set-cookie transfer-encoding trailer].each do |name|
          env["tidegate.send_trailers"].call({ name => "1" })
        rescue TypeError => error
          raised << error
        end
        begin
          env["tidegate.send_trailers"].call({ "x" => "a\r\nb" })
        rescue TypeError => error
          raised << error
        end
        [200, {}, ["x"]]
      end

      expect(fetch(connect(server)).last).to eq({})
      expect(raised.size).to eq(6)
      expect(raised.pop.message).to eq("the app gave the trailer content-length, which belongs into the head")
    end

    it "are not those of a response that was not sent" do
      server = run_server(lint: false, lowlevel_error_handler: ->(_error) { [503, {}, ["sorry"]] }) do |env|
        env["tidegate.send_trailers"].call({ "x-status" => "fine" })
        env["QUERY_STRING"] == "" ? raise("on purpose") : [200, { "x" => "a\0b" }, ["x"]]
      end
      response, trailers = fetch(connect(server))

      expect([response.status, response.body, trailers]).to eq([503, "sorry", {}])
    end

    it "are not there for HEAD, nor where there is no content" do
      server = run_server(lint: false) do |env|
        env["tidegate.send_trailers"]&.call({ "x-sum" => "1" })
        [env["PATH_INFO"] == "/none" ? 204 : 200, {}, ["ab"]]
      end
      client = connect(server)

      expect(client.ask("HEAD", "/", { "te" => "trailers" }).status).to eq(200)
      expect(client.get("/none", { "te" => "trailers" }).status).to eq(204)
      expect(client.get("/").body).to eq("ab")
    end

    it "are offered to the app over HTTP/1 only for a client that takes them", :http1 do
      server = run_server { |env| [200, { "content-type" => "text/plain" }, [env.key?("tidegate.send_trailers").to_s]] }
      client = connect(server)

      expect([{}, { "te" => "gzip" }, { "te" => "gzip;q=1, Trailers" }].map { |headers| client.get("/", headers).body }).to eq(%w[false false true])
      expect(client.write("GET / HTTP/1.0\r\nte: trailers\r\n\r\n").response.body).to eq("false")
    end

    it "are offered to the app over HTTP/2 always", :http2 do
      expect(get(run_server { |env| [200, { "content-type" => "text/plain" }, [env.key?("tidegate.send_trailers").to_s]] }, "/").body).to eq("true")
    end

    it "do not make a response look whole that is not" do
      server = sending(lint: false) { |give| each_body { |out| give.call && out.call("ab").then { raise "on purpose" } } }

      expect { fetch(connect(server)) }.to raise_error(HTTPResponse::Cut)
    end
  end
end
