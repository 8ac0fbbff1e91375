# frozen_string_literal: true

# What a proxy says of a connection before the client's bytes come. The spec plays the proxy; spec/http/haproxy_spec.rb has a real one.

RSpec.describe "the PROXY protocol", :in_process do
  let(:keys) { %w[REMOTE_ADDR REMOTE_PORT SERVER_NAME SERVER_PORT rack.url_scheme HTTPS tidegate.proxy] }

  # A server behind a proxy; what the app's requests said is in +seen+.
  def behind_proxy(version: "true", trusted: "loopback", **options)
    app = Rack::Lint.new(lambda do |env|
      seen << env.slice(*keys)
      [200, {}, ["ok"]]
    end)
    server = Tidegate::Server.new(app, bind: "tcp://127.0.0.1:0?proxy_protocol=#{version}", trusted_proxies: trusted, silent: true, **options)
    servers << server
    server.start
  end

  def seen = @seen ||= []

  def v2(command, family, payload) = "\r\n\r\n\0\r\nQUIT\n".b + [command, family, payload.bytesize].pack("CCn") + payload.b

  def tlv(type, value) = [type, value.bytesize].pack("Cn") + value.b

  let(:inet) { [192, 0, 2, 1, 198, 51, 100, 1].pack("C8") + [4000, 443].pack("nn") }

  it "names the client in version 1, for all requests of the connection" do
    wire = connect(behind_proxy)
    wire.write("PROXY TCP6 2001:db8::1 2001:db8::2 4000 443\r\n")
    2.times { expect(wire.get("/").status).to eq 200 }
    expect(seen).to all include("REMOTE_ADDR" => "2001:db8::1", "REMOTE_PORT" => "4000", "rack.url_scheme" => "http",
                                "tidegate.proxy" => { version: 1, local: false, source: "2001:db8::1", source_port: 4000,
                                                      destination: "2001:db8::2", destination_port: 443 })
    expect(seen.first["tidegate.proxy"]).to be_frozen
  end

  it "names the client in version 2, and all else that the proxy says" do
    ssl = [7, 0].pack("CN") + tlv(0x21, "TLSv1.3") + tlv(0x22, "caf\u{e9}")
    tlvs = tlv(0x02, "app.example") + tlv(0x05, "id\xFF") + tlv(0x20, ssl) + tlv(0xEA, "\x01vpce-1")
    wire = connect(behind_proxy)
    wire.write(v2(0x21, 0x11, inet + tlvs))
    wire.get("/")
    expect(seen.first).to include("REMOTE_ADDR" => "192.0.2.1", "rack.url_scheme" => "https", "HTTPS" => "on")
    expect(seen.first["tidegate.proxy"]).to eq(
      version: 2, local: false, source: "192.0.2.1", source_port: 4000, destination: "198.51.100.1", destination_port: 443,
      authority: "app.example", unique_id: "id\xFF".b, aws_vpc_endpoint_id: "vpce-1",
      ssl: { tls: true, certificate: true, verified: true, version: "TLSv1.3", cn: "caf\u{e9}" }
    )
  end

  it "takes a header that comes in pieces, and nothing of what is behind it" do
    wire = connect(behind_proxy)
    header = v2(0x21, 0x11, inet + tlv(0x04, "x" * 2000))
    header.each_char.each_slice(700) { |part| wire.write(part.join) }
    wire.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 2)
    expect([wire.response.status, wire.response.status]).to eq [200, 200]
  end

  it "has where the client came to where a request names no host" do
    wire = connect(behind_proxy)
    wire.write(v2(0x21, 0x11, inet)).write("GET / HTTP/1.0\r\n\r\n").response
    expect(seen.first).to include("SERVER_NAME" => "198.51.100.1", "SERVER_PORT" => "443")
  end

  it "serves the proxy's own connections by its address" do
    wire = connect(behind_proxy)
    wire.write(v2(0x20, 0x00, "")).get("/")
    expect(seen.first).to include("REMOTE_ADDR" => "127.0.0.1", "tidegate.proxy" => { version: 2, local: true })
  end

  {
    "a connection without a header" => "GET / HTTP/1.1\r\nhost: a\r\n\r\n", "a malformed header" => "PROXY TCP4 1.2.3.4\r\n",
    "a header of another version" => "PROXY UNKNOWN\r\n"
  }.each do |what, bytes|
    it "refuses #{what}" do
      wire = connect(behind_proxy(version: "v2"))
      wire.write(bytes)
      expect(wire).to be_ended
      expect(seen).to be_empty
    end
  end

  it "refuses a client that is no trusted proxy, before it has sent anything" do
    expect(connect(behind_proxy(trusted: "10.0.0.0/8"))).to be_ended
  end

  it "refuses a proxy that sends no header in time" do
    wire = connect(behind_proxy(handshake_timeout: 0.05))
    wire.write("PROXY ")
    expect(wire).to be_ended
  end

  it "starts only where it is said who the proxy is" do
    expect { behind_proxy(trusted: []) }.to raise_error(Tidegate::ConfigurationError, /trusted_proxies alone, and these are not set/)
    expect { behind_proxy(version: "v3") }.to raise_error(Tidegate::ConfigurationError, /proxy_protocol is true, v1, v2 or false/)
  end

  describe "in a process", :processes do
    def server(*) = serve("hello.ru", *, "-b", "tcp://127.0.0.1:0?proxy_protocol=true", "--trusted-proxies", "loopback", "--admin", "tcp://127.0.0.1:0")

    # The address among the two that has the protocol.
    def proxied(server) = server.addresses.first

    it "writes the client's address into the access log" do
      running = server("-v")
      Wire.open(proxied(running)) { |wire| wire.write("PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\r\n").get("/") }
      expect(running.stdout.wait_for(%r{\A192\.0\.2\.1 - - .*"GET / HTTP})).to be_truthy
    end

    it "says what it refuses, and counts it" do
      running = server
      Wire.open(proxied(running)) { |wire| expect(wire.write("GET / HTTP/1.1\r\n\r\n")).to be_ended }
      running.wait_for_line(/refused a connection from 127\.0\.0\.1: it begins without a header of the PROXY protocol/)
      metrics = Wire.open(running.admin) { |wire| wire.get("/metrics").body }
      expect(metrics).to include(%(tidegate_proxy_protocol_refused_total{reason="missing"} 1\n))
    end
  end
end
