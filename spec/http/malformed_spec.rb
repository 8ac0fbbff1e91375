# frozen_string_literal: true

RSpec.describe "a request that is no proper HTTP", :in_process do
  let(:ran) { Queue.new }

  let(:server) do
    run_server do |env|
      ran << env["PATH_INFO"]
      [200, { "content-type" => "text/plain" }, ["ok"]]
    end
  end

  # Sends bytes, and expects to be refused with that status and closed, without the app being asked.
  def expect_refusal(bytes, status)
    wire = connect(server)
    response = wire.write(bytes).response

    expect(response.status).to eq(status)
    expect(wire).to be_eof
    expect(ran).to be_empty
    expect(get(server, "/").status).to eq(200)
  end

  {
    "nothing like it" => "\x16\x03\x01\x00\xA5\x01\x00\x00".b * 4 + "\r\n\r\n".b,
    "a line without a version" => "GET /\r\n\r\n",
    "a version that does not exist" => "GET / HTTP/1.7\r\nHost: a\r\n\r\n",
    "a target with a space" => "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target with a control character" => "GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method with a bracket" => "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a header without a colon" => "GET / HTTP/1.1\r\nHost: a\r\nNonsense\r\n\r\n",
    "a header with a space before the colon" => "GET / HTTP/1.1\r\nHost: a\r\nX-A : 1\r\n\r\n",
    "a header that is folded" => "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n  2\r\n\r\n",
    "a header with a NUL" => "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\0\r\n\r\n",
    "no host" => "GET / HTTP/1.1\r\n\r\n",
    "two hosts" => "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "an asterisk for GET" => "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a length that is no number" => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n",
    "a length below zero" => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "a length with a sign" => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
    "two lengths that differ" => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "a length beyond all bounds" => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "a transfer-encoding that ends in none we know" => "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    "a transfer-encoding in HTTP/1.0" => "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
  }.each do |what, bytes|
    it "with #{what} is answered with 400 and closed" do
      expect_refusal(bytes, 400)
    end
  end

  {
    "a size that is no number" => "xyz\r\nabc\r\n0\r\n\r\n", "a size that is too large" => "FFFFFFFFFFFFFFFFF\r\nabc",
    "no end behind a chunk" => "3\r\nabcd\r\n0\r\n\r\n", "a size with a sign" => "+3\r\nabc\r\n0\r\n\r\n"
  }.each do |what, chunks|
    it "with chunks that have #{what} is answered with 400 and closed" do
      expect_refusal("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n#{chunks}", 400)
    end
  end

  it "with both a length and chunks is refused, or read as chunks and closed, so that no proxy's other reading hurts" do
    wire = connect(server)
    wire.write("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    response = wire.response

    expect(response.status).to eq(400).or eq(200)
    expect(response).to be_close
    expect(wire).to be_eof
    expect(Array.new(ran.size) { ran.pop }).not_to include("/smuggled")
  end

  it "that asks for a proxy is answered with 501 and closed" do
    expect_refusal("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", 501)
  end

  it "behind a proper one is answered after it" do
    wire = connect(server)
    wire.write("GET /good HTTP/1.1\r\nHost: a\r\n\r\nNONSENSE\r\n\r\n")

    expect(wire.response.status).to eq(200)
    expect(wire.response.status).to eq(400)
    expect(wire).to be_eof
  end

  it "that speaks HTTP/2 without being asked is refused" do
    wire = connect(server)
    wire.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    expect([400, 505]).to include(wire.response.status)
    expect(wire).to be_eof
  end

  it "is refused so that the client can read why, even while it is still sending" do
    wire = connect(server)
    wire.write("POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n")
    wire.write("x" * 1_000_000)

    expect(wire.response.status).to eq(400)
    expect(wire).to be_eof
  end

  it "is no error in the log" do
    connect(server).write("NONSENSE\r\n\r\n").response

    expect(errors.to_s).to eq("")
  end
end
