# frozen_string_literal: true

# An encrypted connection, as Ruby's OpenSSL sees it from the other side.

RSpec.describe "a TLS connection", :in_process do
  def serve(**, &app)
    app ||= ->(env) { [200, { "content-type" => "text/plain" }, ["#{env["REQUEST_METHOD"]} #{env["PATH_INFO"]} #{env["rack.input"].read}"]] }
    run_server(app, tls: true, **)
  end

  def connect_tls(server, **, &) = TlsWire.open(server.addresses.first, **, &).tap { |wire| wires << wire }

  # The handshakes by their results, of which there were any.
  def handshakes(server)
    Wire.open(server.admin_address) do |admin|
      admin.get("/metrics").body.scan(/^tidegate_tls_handshakes_total\{result="(\w+)"\} (\d+)/).to_h.transform_values(&:to_i).reject { |_, count| count.zero? }
    end
  end

  def expect_handshakes(server, **expected)
    Patience.until_true("handshakes #{expected}; they are #{handshakes(server)}") { handshakes(server) == expected.transform_keys(&:to_s) }
  end

  it "is kept for many requests, with bodies" do
    wire = connect_tls(serve)
    expect(Array.new(20) { |number| wire.post("/#{number}", "body").body }).to eq(Array.new(20) { |number| "POST /#{number} body" })
  end

  it "answers requests that are sent all at once, in their order" do
    wire = connect_tls(serve)
    20.times { |number| wire.request("POST", "/#{number}", body: "x" * 1000) }
    expect(Array.new(20) { wire.response.body[/\S+ \S+/] }).to eq(Array.new(20) { |number| "POST /#{number}" })
  end

  it "takes a request in single bytes, each a record" do
    wire = connect_tls(serve)
    "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".each_char { |byte| wire.write(byte) }
    expect(wire.response.body).to eq("POST /slow abc")
  end

  it "carries large bodies both ways, byte for byte" do
    bytes = Random.new(1).bytes(5_000_000)
    wire = connect_tls(serve { |env| [200, { "content-type" => "application/octet-stream" }, [env["rack.input"].read]] })
    expect(wire.post("/", bytes).body == bytes).to be(true)
    expect(wire.post("/", bytes).body == bytes).to be(true)
  end

  it "sends each part of a body when it is yielded" do
    parts = Queue.new
    server = serve { |_env| [200, { "content-type" => "text/plain" }, Enumerator.new { |out| while (part = parts.pop) do out << part end }] }
    wire = connect_tls(server).request("GET", "/")
    %w[one two three].each do |part|
      parts << part
      expect(wire.read_until(part)).to end_with(part)
    end
    parts << nil
    wire.read_until("0\r\n\r\n")
  end

  describe "in env" do
    def env_of(server, **, &configure)
      entries = %w[rack.url_scheme HTTPS SERVER_PORT SERVER_PROTOCOL tidegate.tls puma.peercert]
      seen = Queue.new
      serving = server || serve do |env|
        seen << env.slice(*entries)
        [200, {}, []]
      end
      connect_tls(serving, **, &configure).get("/", { "host" => "example.org" })
      Patience.pop(seen, "a request")
    end

    it "is told by scheme, HTTPS and the usual port" do
      expect(env_of(nil)).to include("rack.url_scheme" => "https", "HTTPS" => "on", "SERVER_PORT" => "443", "SERVER_PROTOCOL" => "HTTP/1.1")
    end

    it "is told with what the handshake has agreed on" do
      env = env_of(nil) { |context| context.alpn_protocols = %w[http/1.1] }
      expect(env["tidegate.tls"]).to eq(version: "TLSv1.3", cipher: env["tidegate.tls"][:cipher], server_name: "localhost", alpn: "http/1.1", resumed: false, client_certificates: [])
      expect(env["tidegate.tls"][:cipher]).to start_with("TLS_")
      expect(env["tidegate.tls"]).to be_frozen
      expect(env).not_to have_key("puma.peercert")
    end

    it "is told with the version of TLS 1.2, and no name where the client gives none" do
      env = env_of(nil, server_name: nil) { |context| context.max_version = OpenSSL::SSL::TLS1_2_VERSION }
      expect(env["tidegate.tls"]).to include(version: "TLSv1.2", server_name: nil, alpn: nil)
      expect(env["tidegate.tls"][:cipher]).to start_with("TLS_ECDHE_ECDSA_")
    end
  end

  it "is told with the client's certificate, where the client shows one" do
    authority = File.join(Certificates::DIRECTORY, "authority.pem")
    File.write(authority, Certificates.authority.certificate.to_pem)
    app = ->(env) { [200, {}, [[env["puma.peercert"].class, env["puma.peercert"]&.subject, env["tidegate.tls"][:client_certificates].size].inspect]] }
    server = Tidegate::Server.new(app, bind: "#{Certificates.bind}&verify_mode=peer&ca=#{authority}", silent: true).start
    servers << server
    certificate, key = Certificates.authority.sign("a client")
    with = connect_tls(server) do |context|
      context.cert = certificate
      context.key = key
    end

    expect(Array.new(2) { with.get("/").body }).to all(match(/\A\[OpenSSL::X509::Certificate, #<.*CN=a client.*>, 1\]\z/))
    expect(connect_tls(server).get("/").body).to eq("[NilClass, nil, 0]")
  end

  it "goes on with the session of an earlier one" do
    server = serve(admin: "tcp://127.0.0.1:0") { |env| [200, {}, [env["tidegate.tls"][:resumed].to_s]] }
    sessions = []
    context = lambda do |ssl|
      ssl.session_cache_mode = OpenSSL::SSL::SSLContext::SESSION_CACHE_CLIENT
      ssl.session_new_cb = ->((_, session)) { sessions << session }
    end
    expect(connect_tls(server, &context).get("/").body).to eq("false")
    expect(connect_tls(server, session: sessions.last).get("/").body).to eq("true")
    expect_handshakes(server, complete: 1, resumed: 1)
  end

  describe "ends" do
    it "with close_notify behind a response that says close" do
      wire = connect_tls(serve)
      expect(wire.get("/", { "connection" => "close" })).to be_close
      expect(wire).to be_eof
    end

    it "with close_notify when it has been idle for too long" do
      wire = connect_tls(serve(persistent_timeout: 0.3))
      wire.get("/")
      expect(wire).to be_eof
    end

    it "with close_notify when no request comes at all" do
      expect(connect_tls(serve(first_data_timeout: 0.3))).to be_eof
    end

    it "with close_notify behind a refusal" do
      wire = connect_tls(serve)
      expect(wire.write("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").response.status).to eq(400)
      expect(wire).to be_eof
    end

    it "with close_notify when the client sends its own" do
      wire = connect_tls(serve)
      wire.get("/")
      expect(wire.half_close).to be_eof
    end

    it "with close_notify when it gives way to another" do
      server = serve(max_connections: 1)
      first = connect_tls(server)
      first.get("/")
      second = connect_tls(server)
      expect(first).to be_eof
      expect(second.get("/").status).to eq(200)
    end

    it "when the client goes without a word" do
      server = serve
      wire = connect_tls(server)
      wire.get("/")
      wire.raw.close
      wait_for_stat(server, :connections, 0)
    end

    it "visibly too early where only its end ends the body, and the app fails" do
      go_on = Queue.new
      server = serve(lint: false) do |_env|
        body = Enumerator.new do |out|
          out << "some"
          go_on.pop
          raise "the app fails"
        end
        [200, {}, body]
      end
      wire = connect_tls(server).write("GET / HTTP/1.0\r\n\r\n")
      wire.read_until("some")
      go_on << true
      expect(wire).to be_ended
      expect(wire).not_to be_eof
    end
  end

  it "aborts an upload that ends without close_notify" do
    seen = Queue.new
    server = serve(stream_input: true, lint: false) do |env|
      env["rack.input"].read
      [200, {}, []]
    rescue StandardError => e
      seen << e.class
      raise
    end
    wire = connect_tls(server).write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this")
    wire.raw.shutdown(Socket::SHUT_WR)
    expect(Patience.pop(seen, "the app to see the end")).to eq(Tidegate::BodyCut)
  end

  describe "that is hijacked" do
    it "is the app's, both ways, and ends as the app ends it" do
      server = serve(lint: false) do |env|
        env["rack.hijack"].call
        io = env["rack.hijack_io"]
        Thread.new do
          io.write("HTTP/1.1 101 Switching\r\n\r\n")
          io.write(io.readpartial(100).upcase)
          io.write("then #{io.read}")
          io.close
        end
        [-1, {}, []]
      end
      wire = connect_tls(server).request("GET", "/")
      wire.read_until("\r\n\r\n")
      wire.write("hello")
      wire.read_until("HELLO")
      wire.write_last("the rest")
      expect(wire.rest).to eq("then the rest")
    end
  end

  describe "whose handshake fails" do
    let(:server) { serve(admin: "tcp://127.0.0.1:0", handshake_timeout: 0.5) }

    def plain = Wire.open(server.addresses.first.sub("ssl", "tcp")).tap { |wire| wires << wire }

    it "because the client speaks plain HTTP is told so" do
      response = plain.get("/")
      expect([response.status, response.body]).to eq([400, "400 Bad Request: this port speaks HTTPS, and the request was sent without encryption\n"])
      expect(response).to be_close
      expect_handshakes(server, unencrypted: 1)
    end

    it "because the client sends nothing is closed in time" do
      expect(plain).to be_ended
      expect_handshakes(server, timeout: 1)
    end

    it "because the client stops in the midst of it is closed in time" do
      expect(plain.write("\x16\x03\x01\x02\x00\x01")).to be_ended
      expect_handshakes(server, timeout: 1)
    end

    it "because the client has gone is counted" do
      plain.write("\x16\x03\x01\x02\x00\x01").close
      expect_handshakes(server, client_gone: 1)
    end

    it "because the client speaks something else gets an alert" do
      wire = plain.write("\x16\x03\x01\x00\x04\x02\x00\x00\x00".b)
      expect(wire.rest.bytes.first(3)).to eq([0x15, 3, 3])
      expect_handshakes(server, malformed: 1)
    end

    it "because the version is too old is told so" do
      expect { connect_tls(server) { |context| context.max_version = OpenSSL::SSL::TLS1_1_VERSION } }
        .to raise_error(OpenSSL::SSL::SSLError)
      Patience.until_true("a handshake that failed; #{handshakes(server)}") { handshakes(server).slice("incompatible", "client_gone").any? }
    end

    it "because the client does not know the certificate is counted" do
      expect { connect_tls(server) { |context| context.verify_mode = OpenSSL::SSL::VERIFY_PEER } }.to raise_error(OpenSSL::SSL::SSLError, /certificate verify failed/)
      expect_handshakes(server, certificate: 1)
    end

    it "holds up no other" do
      wires.concat(Array.new(20) { Wire.open(server.addresses.first.sub("ssl", "tcp")).write("\x16\x03\x01\x02\x00\x01") })
      expect(connect_tls(server).get("/").status).to eq(200)
    end
  end
end
