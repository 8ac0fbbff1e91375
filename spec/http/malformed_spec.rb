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
    "a version that does not exist" => "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
    "a bare line feed that would hide a length from a proxy" => "POST / HTTP/1.1\r\nHost: a\r\nX: a\nContent-Length: 3\r\n\r\nabc",
    "lines that end with line feeds" => "GET / HTTP/1.1\nHost: a\n\n",
    "a bare carriage return in a header" => "GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n",
    "a fragment in its target" => "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a URL that is not HTTP's" => "GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a host in brackets that is no address" => "GET / HTTP/1.1\r\nHost: [x]\r\n\r\n",
    "a host with a user" => "GET / HTTP/1.1\r\nHost: me@a\r\n\r\n",
    "a host with a port that is none" => "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n",
    "a length of 64 bits" => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n",
    "two lengths that are the same" => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "chunked twice" => "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two transfer-encodings" => "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
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
    "a size with a blank behind it" => "3 \r\nabc\r\n0\r\n\r\n", "an empty extension" => "3;\r\nabc\r\n0\r\n\r\n",
    "a trailer that ends with a line feed" => "0\r\nX: a\n\r\n", "a size that ends with a line feed" => "3\nabc\r\n0\r\n\r\n",
    "no end behind a chunk" => "3\r\nabcd\r\n0\r\n\r\n", "a size with a sign" => "+3\r\nabc\r\n0\r\n\r\n"
  }.each do |what, chunks|
    it "with chunks that have #{what} is answered with 400 and closed" do
      expect_refusal("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n#{chunks}", 400)
    end
  end

  it "with both a length and chunks is refused, so that no proxy's other reading hurts" do
    expect_refusal("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", 400)
  end

  it "of HTTP/1.2 is answered as one of 1.1, also with a body" do
    wire = connect(server)

    2.times do
      wire.write("POST /new HTTP/1.2\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
      expect(wire.response.status).to eq(200)
    end
  end

  it "is not what comes behind chunks with extensions and trailers" do
    wire = connect(server)
    wire.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\";c\r\nabc\r\n0\r\nX: y\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n")

    expect(Array.new(2) { wire.response.status }).to eq([200, 200])
    expect(Array.new(ran.size) { ran.pop }).to eq(%w[/ /next])
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

  it "that goes on in HTTP/2 is refused" do
    wire = connect(server)
    wire.write("GET /good HTTP/1.1\r\nHost: a\r\n\r\n")
    expect(wire.response.status).to eq(200)
    wire.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    expect(wire.response.status).to eq(505)
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
