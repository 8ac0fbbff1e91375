# frozen_string_literal: true

# Behind a real haproxy that passes the client on by the PROXY protocol.

require "openssl"
require "tmpdir"

RSpec.describe "behind haproxy", :in_process do
  before { skip "haproxy is not installed" unless system("command -v haproxy > /dev/null") }

  after do
    if @haproxy
      Process.kill("KILL", @haproxy)
      Process.wait(@haproxy)
    end
    @front&.close
    FileUtils.remove_entry(@directory) if @directory
  end

  let(:seen) { Queue.new }

  def app
    lambda do |env|
      env["PATH_INFO"] == "/check" ? checks << env["tidegate.proxy"] : seen << env.slice("REMOTE_ADDR", "REMOTE_PORT", "rack.url_scheme", "tidegate.proxy")
      [200, {}, ["ok"]]
    end
  end

  def checks = @checks ||= Queue.new

  def behind_haproxy(bind: "tcp://127.0.0.1:0?proxy_protocol=true", **)
    server = Tidegate::Server.new(Rack::Lint.new(app), bind:, trusted_proxies: "loopback", silent: true, **)
    servers << server
    server.start
  end

  # Starts haproxy on a listening socket of ours, in front of +server+; +options+ are those of its server line.
  def haproxy(server, options, bind: "", more: "")
    @front = TCPServer.new("127.0.0.1", 0)
    configuration = File.join(directory, "haproxy.cfg")
    File.write(configuration, <<~CONFIGURATION)
      defaults
        mode tcp
        timeout connect 10s
        timeout client 60s
        timeout server 60s
      listen front
        bind fd@${FRONT} #{bind}
        #{more}
        server app 127.0.0.1:#{server.addresses.first[/\d+\z/]} #{options}
    CONFIGURATION
    number = @front.fileno
    @haproxy = spawn({ "FRONT" => number.to_s }, "haproxy", "-db", "-q", "-f", configuration, number => @front, %i[out err] => File.join(directory, "log"))
  end

  def directory = @directory ||= Dir.mktmpdir("tidegate-haproxy")

  # The address and the port that haproxy sees a client at.
  def through_haproxy
    wire = Wire.open("tcp://127.0.0.1:#{@front.addr[1]}")
    wires << wire
    wire
  end

  %w[send-proxy send-proxy-v2].each.with_index(1) do |option, version|
    it "has the client that #{option} names" do
      haproxy(behind_haproxy, option)
      wire = through_haproxy
      expect(wire.get("/").status).to eq 200
      port = wire.socket.local_address.ip_port
      expect(seen.pop).to include("REMOTE_ADDR" => "127.0.0.1", "REMOTE_PORT" => port.to_s,
                                  "tidegate.proxy" => a_hash_including(version:, local: false, source: "127.0.0.1", source_port: port))
    end
  end

  it "has the unique id, and a checksum that is right" do
    haproxy(behind_haproxy, "send-proxy-v2 proxy-v2-options crc32c,unique-id", more: "unique-id-format %pid-%rt-app")
    expect(through_haproxy.get("/").status).to eq 200
    expect(seen.pop["tidegate.proxy"]).to include(unique_id: /\A\d+-\d+-app\z/)
  end

  it "serves its health checks as its own, and clients through it" do
    server = behind_haproxy
    haproxy(server, "send-proxy-v2 check check-send-proxy inter 50ms fall 100000", more: "option httpchk GET /check")
    2.times { expect(checks.pop(timeout: Patience::SECONDS)).to eq(version: 2, local: true) }
    # A check that is not answered within its 50 ms, as on a busy machine, has haproxy turn clients away until two are in a row.
    Patience.until_true("haproxy to take the server as up") { served? }
    expect(seen.pop["tidegate.proxy"]).to include(local: false)
  end

  it "has what the client's certificate says with send-proxy-v2-ssl-cn" do
    key = certificate
    haproxy(behind_haproxy, "send-proxy-v2-ssl-cn", bind: "ssl crt #{directory}/both.pem ca-file #{directory}/cert.pem verify required")
    context = OpenSSL::SSL::SSLContext.new.tap { |it| it.cert, it.key = key }
    socket = OpenSSL::SSL::SSLSocket.new(TCPSocket.new("127.0.0.1", @front.addr[1]), context)
    socket.connect
    socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    expect(socket.read).to start_with("HTTP/1.1 200")
    env = seen.pop
    expect(env["rack.url_scheme"]).to eq "https"
    expect(env["tidegate.proxy"][:ssl]).to include(tls: true, certificate: true, verified: true, cn: "client.example", version: /\ATLSv1/)
  ensure
    socket&.close
  end

  it "has the client of a connection that is encrypted behind the header" do
    certificate
    server = behind_haproxy(bind: "ssl://127.0.0.1:0?cert=#{directory}/both.pem&key=#{directory}/both.pem&proxy_protocol=v2")
    haproxy(server, "ssl verify none send-proxy-v2")
    wire = through_haproxy
    expect(wire.get("/").status).to eq 200
    port = wire.socket.local_address.ip_port.to_s
    expect(seen.pop).to include("REMOTE_PORT" => port, "rack.url_scheme" => "https", "tidegate.proxy" => a_hash_including(version: 2))
  end

  it "serves what comes through it in a drain, on new and on kept connections" do
    server = behind_haproxy(drain_delay: 60, shutdown_timeout: 10)
    haproxy(server, "send-proxy-v2")
    kept = through_haproxy
    expect(kept.get("/").status).to eq 200
    server.stop(drain: true)
    Patience.until_true("the drain") { server.phase == :draining }
    10.times { expect(through_haproxy.get("/").status).to eq 200 }
    expect(kept.get("/").status).to eq 200
    server.stop
    expect(server.join(Patience::SECONDS)).to be_truthy
  end

  def served?
    through_haproxy.get("/").status == 200
  rescue HTTPResponse::Cut, SystemCallError
    false
  end

  # A certificate that is good for both sides, in files for haproxy.
  def certificate
    key = OpenSSL::PKey::EC.generate("prime256v1")
    certificate = OpenSSL::X509::Certificate.new
    certificate.version, certificate.serial = 2, 1
    certificate.subject = certificate.issuer = OpenSSL::X509::Name.parse("/CN=client.example")
    certificate.public_key = key
    certificate.not_before, certificate.not_after = Time.now - 3600, Time.now + 86_400
    extensions = OpenSSL::X509::ExtensionFactory.new(certificate, certificate)
    certificate.add_extension(extensions.create_extension("basicConstraints", "CA:TRUE", true))
    certificate.sign(key, "SHA256")
    File.write("#{directory}/cert.pem", certificate.to_pem)
    File.write("#{directory}/both.pem", certificate.to_pem + key.to_pem)
    [certificate, key]
  end
end
