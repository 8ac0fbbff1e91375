# frozen_string_literal: true

Protocols.describe("a response header", :in_process) do
  def sent(headers, lint: false)
    server = run_server(lint:) { |env| env["PATH_INFO"] == "/" ? [200, headers, ["body"]] : [200, {}, ["next"]] }
    wire = connect(server)
    response = wire.get("/")
    expect(wire.get("/next").body).to eq("next") unless response.close?
    response
  end

  it "is sent as it is" do
    expect(sent({ "content-type" => "text/plain", "x-one" => "1" }, lint: true).headers).to include("content-type" => ["text/plain"], "x-one" => ["1"])
  end

  it "in capitals is sent in small letters" do
    expect(sent({ "Content-Type" => "text/plain", "X-One" => "1" }).headers).to include("content-type" => ["text/plain"], "x-one" => ["1"])
  end

  it "with several values as Rack has them is sent once for each" do
    expect(sent({ "content-type" => "text/plain", "set-cookie" => RackRelease.values("a=1", "b=2") }, lint: true).headers["set-cookie"]).to eq(%w[a=1 b=2])
  end

  it "with several values in an Array is sent once for each" do
    expect(sent({ "set-cookie" => %w[a=1 b=2] }).headers["set-cookie"]).to eq(%w[a=1 b=2])
  end

  it "with several values in lines, as in Rack 2, is sent once for each" do
    expect(sent({ "Set-Cookie" => "a=1\nb=2" }).headers["set-cookie"]).to eq(%w[a=1 b=2])
  end

  it "keeps bytes that are not ASCII" do
    expect(sent({ "x-utf8" => "caf\u00E9", "x-latin" => "caf\xE9".b }).headers).to include("x-utf8" => ["caf\u00E9".b], "x-latin" => ["caf\xE9".b])
  end

  it "may be frozen, with its hash" do
    expect(sent({ "x-one" => "1" }.freeze).headers["x-one"]).to eq(["1"])
  end

  it "may be a Symbol, a number or nil" do
    headers = sent({ :"x-symbol" => :value, "x-number" => 42, "x-nil" => nil }).headers

    expect(headers).to include("x-symbol" => ["value"], "x-number" => ["42"])
    expect(headers).not_to include("x-nil")
  end

  it "of the server's own, rack.something, is not sent" do
    expect(sent({ "rack.private" => "x", "x-one" => "1" }).headers.keys).not_to include("rack.private")
  end

  # An app behind another server would say how long that one keeps connections.
  it "that says how long the connection is kept is the server's to send" do
    headers = sent({ "Keep-Alive" => "timeout=600", "proxy-connection" => "keep-alive", "x-one" => "1" }).headers

    expect(headers.keys).to include("x-one")
    expect(headers.keys).not_to include("keep-alive", "proxy-connection")
  end

  it "comes in a hash that is none but converts to one" do
    expect(sent(Struct.new(:to_h).new({ "x-one" => "1" })).headers["x-one"]).to eq(["1"])
  end

  it "comes in anything that yields pairs, as in Rack 2" do
    yielding = Class.new { def each = [%w[x-one 1], %w[x-two 2]].each { |name, value| yield name, value } }.new

    expect(sent(yielding).headers).to include("x-one" => ["1"], "x-two" => ["2"])
    expect(sent([%w[Set-Cookie a=1], %w[Set-Cookie b=2]]).headers["set-cookie"]).to eq(%w[a=1 b=2])
  end

  it "cannot come in what yields nothing of the kind" do
    expect([42, [1, 2], [%w[x 1 2]], nil].map { |headers| sent(headers).status }).to eq([500, 500, 500, 200])
  end

  { "a carriage return" => "a\rb", "a line feed that begins a header" => "a\r\nx-evil: 1", "a NUL" => "a\0b", "an escape" => "a\eb" }.each do |what, value|
    it "with #{what} in its value is not sent; the log names it" do
      response = sent({ "x-user-input" => value })

      expect([response.status, response["x-evil"], response["x-user-input"]]).to eq([500, nil, nil])
      expect(errors.wait_for(/./).string).to match(/\Atidegate: GET \/ raised TypeError: .*"?x-user-input"?/)
    end
  end

  ["x evil", "x:evil", "x\r\nevil", "", "x\0", "caf\u00E9"].each do |name|
    it "named #{name.inspect} is not sent; the log names it" do
      expect(sent({ name => "1" }).status).to eq(500)
      expect(errors.wait_for(/./).string).to include(name.inspect)
    end
  end

  it "date is there, and the app may set its own" do
    expect(sent({})["date"]).to match(/\A\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\z/)
    expect(sent({ "date" => "Thu, 01 Jan 1970 00:00:00 GMT" }).headers["date"]).to eq(["Thu, 01 Jan 1970 00:00:00 GMT"])
  end

  # h2 sends no head with a te, and the client got nothing and no reason.
  it "of a connection of HTTP/1 is not sent over HTTP/2", :http2 do
    headers = sent({ "connection" => "close, x-named", "upgrade" => "h2c", "te" => "gzip", "x-named" => "2", "x-one" => "1" }).headers

    expect(headers.keys).to include("x-one")
    expect(headers.keys & %w[connection upgrade te x-named]).to eq([])
  end

  # RFC 9113 §8.2.1: clients of HTTP/2 ended the connection, and with it all other requests.
  it "is sent without blanks around its value, which are no part of it" do
    headers = sent({ "x-pad" => "  a b\t ", "x-blank" => " \t", "x-lines" => " c \n d" }).headers

    expect(headers).to include("x-pad" => ["a b"], "x-blank" => [""], "x-lines" => %w[c d])
  end

  it "connection: close of the app is kept, and closes", :http1 do
    server = run_server(lint: false) { |_env| [200, { "connection" => "close" }, ["bye"]] }
    wire = connect(server)

    expect(wire.get("/")).to be_close
    expect(wire).to be_eof
  end

  it "says nothing about the server" do
    expect(sent({}).headers.keys - %w[date content-length content-type]).to eq([])
  end

  # Beyond 24,576 names http::HeaderMap panics where it is not asked first; the client was left without an answer.
  describe "that is one of very many" do
    def many(count) = (1..count).to_h { |number| ["x#{number}", "y"] }

    it "is sent, with all the others" do
      expect(sent(many(20_000)).headers.count { |name, values| name.start_with?("x") && values == ["y"] }).to eq(20_000)
      expect(sent({ "x-list" => Array.new(2000, "y") }).headers["x-list"].size).to eq(2000)
    end

    it "is sent if it is very long" do
      expect(sent({ "x-long" => "y" * 5_000_000 })["x-long"].size).to eq(5_000_000)
    end

    [24_001, 25_000, 40_000, 100_000].each do |count|
      it "is not sent where they are #{count}; the log says why" do
        expect(sent(many(count)).status).to eq(500)
        expect(sent(many(count).to_a).status).to eq(500)
        expect(errors.wait_for(/\Atidegate: GET \/ raised TypeError: the app returned headers of more than 24000 names$/)).to be_truthy
      end
    end

    it "is not sent where they are too many and the body yields, which is closed all the same" do
      closed = Queue.new
      body = Struct.new(:each) { define_method(:close) { closed << 1 } }.new
      server = run_server(lint: false) { |_env| [200, many(25_000), body] }

      expect(get(server, "/").status).to eq(500)
      expect(Patience.pop(closed)).to eq(1)
    end

    it "is not sent in the place of an error either" do
      server = run_server(lint: false, lowlevel_error_handler: ->(_error) { [503, many(25_000), ["x"]] }) { |_env| raise "on purpose" }

      expect(get(server, "/").status).to eq(500)
      expect(errors.wait_for(/lowlevel_error_handler raised TypeError: .*24000 names/)).to be_truthy
    end

    it "is not sent ahead of a response, which goes on" do
      raised = Queue.new
      server = run_server(lint: false, early_hints: true) do |env|
        env["rack.early_hints"].call(many(25_000))
      rescue TypeError => error
        raised << error
        [200, {}, ["after all"]]
      end

      expect(get(server, "/").body).to eq("after all")
      expect(Patience.pop(raised).message).to include("24000 names")
    end
  end
end
