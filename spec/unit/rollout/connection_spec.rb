# frozen_string_literal: true

require_relative "../../../bench/rollout/connection"

RSpec.describe Rollout::Connection, :scripted do
  def connect(server, **) = described_class.open(server.host, server.port, within: Patience::SECONDS, **)

  # The answer to a request to a server with that script.
  def ask(verb = "GET", body = nil, within: Patience::SECONDS, &script)
    connect(scripted(&script)).request(verb, "/", body, within:)
  end

  # How a request to it fails.
  def failure(within: Patience::SECONDS, &script)
    ask(within:, &script)
    nil
  rescue Rollout::Failed => error
    error.kind
  end

  describe "a whole answer" do
    it "may say its length" do
      response = ask { |peer| peer.request && peer.answer("hello", headers: { "X-Some" => "thing: other" }) && peer.gone }

      expect([response.status, response.body, response.last?]).to eq [200, "hello", false]
      expect(response.headers["x-some"]).to eq "thing: other"
    end

    it "may come in chunks" do
      chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
      response = ask { |peer| peer.request && peer.write(chunks) && peer.gone }

      expect(response.body).to eq "abcde"
    end

    it "may end with the connection" do
      response = ask { |peer| peer.request && peer.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end") }

      expect([response.body, response.last?]).to eq ["to the end", true]
    end

    it "may come after interim ones" do
      response = ask { |peer| peer.request && peer.write("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n") && peer.answer("late") && peer.gone }

      expect([response.status, response.body]).to eq [200, "late"]
    end

    it "may be an error by its status" do
      expect(ask { |peer| peer.request && peer.answer("", status: "503 Service Unavailable") && peer.gone }.status).to eq 503
    end

    it "is read though the request could not be sent whole" do
      response = ask("POST", "x" * 20_000_000) do |peer|
        peer.write("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        peer.socket.close_write
        peer.gone
      end

      expect(response.status).to eq 413
    end
  end

  describe "what is not one" do
    it "is refused where no process listens" do
      expect { described_class.open("127.0.0.1", closed_port, within: Patience::SECONDS) }
        .to raise_error(Rollout::Failed) { |error| expect(error.kind).to eq "refused" }
    end

    it "is reset" do
      expect(failure { |peer| peer.request && peer.reset }).to eq "reset"
    end

    it "is reset before the request could be sent" do
      connected = Queue.new
      connection = connect(scripted { |peer| connected.pop && peer.reset })
      connected << true
      expect(connection.input?(Patience::SECONDS)).to be true # the reset is there

      expect { connection.request("GET", "/", within: Patience::SECONDS) }
        .to raise_error(Rollout::Failed) { |error| expect(error.kind).to eq "reset" }
    end

    it "ends before the response" do
      expect(failure { |peer| peer.request && peer.close }).to eq "eof before response"
    end

    {
      "in its head" => "HTTP/1.1 200 O",
      "in a body of known length" => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nonly",
      "between two chunks" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
      "before the last line" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    }.each do |where, bytes|
      it "is truncated #{where}" do
        expect(failure { |peer| peer.request && peer.write(bytes) && peer.close }).to eq "truncated"
      end
    end

    it "is truncated by a reset behind its beginning" do
      cut = Queue.new
      connection = connect(scripted { |peer| peer.request && peer.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n") && cut.pop && peer.reset })
      connection.limit = Patience::SECONDS
      connection.send_head("GET", "/")
      response = connection.read_head
      cut << true

      expect { connection.read_body(response) }.to raise_error(Rollout::Failed) { |error| expect(error.kind).to eq "truncated" }
    end

    it "does not come in time" do
      expect(failure(within: 0.05) { |peer| peer.request && peer.gone }).to eq "timeout"
    end

    it "is malformed" do
      expect(failure { |peer| peer.request && peer.write("SSH-2.0-what\r\n\r\n") && peer.gone }).to eq "malformed"
    end
  end

  it "sends what it was told to" do
    seen = Queue.new
    connect(scripted { |peer| (seen << peer.request) && peer.answer("") && peer.gone })
      .request("POST", "/some", "a body", headers: { "x-one" => "1" }, within: Patience::SECONDS)

    expect(Patience.pop(seen)).to eq "POST /some HTTP/1.1\r\nhost: rollout\r\nx-one: 1\r\ncontent-length: 6\r\n\r\na body"
  end

  it "sees that it was closed while it was idle" do
    close = Queue.new
    connection = connect(scripted { |peer| close.pop && peer.close })
    expect(connection).not_to be_stale
    close << true
    Patience.until_true("the end to be seen") { connection.stale? }
  end

  it "can wait for input and for no longer" do
    go = Queue.new
    connection = connect(scripted { |peer| go.pop && peer.write("x") && peer.gone })
    expect(connection.input?(0.01)).to be false
    go << true
    expect(connection.input?(Patience::SECONDS)).to be true
  end

  it "says how much of a body has come before it reads more, so that a reader can be slow" do
    seen = []
    connection = connect(scripted { |peer| peer.request && peer.answer("x" * 1_000_000) && peer.gone }, receive_buffer: 16_384)
    connection.send_head("GET", "/")
    body = connection.read_body(connection.read_head) { |bytes| seen << bytes }

    expect(body.bytesize).to eq 1_000_000
    expect(seen).to eq seen.sort
    expect(seen.size).to be > 10
  end
end
