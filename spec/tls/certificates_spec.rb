# frozen_string_literal: true

# Which certificates a server shows and asks for, what it refuses to start with, and how sessions are resumed.
RSpec.describe "certificates", :processes do
  around { |example| Dir.mktmpdir { |directory| (@files = CertificateFiles.new(directory)) && example.run } }

  attr_reader :files

  let(:pair) { "cert=#{files.path("a.pem")}&key=#{files.path("a.key")}" }

  def serve(query, *more, **) = boot("hello.ru", "-b", "ssl://127.0.0.1:0?#{query}", *more, **)

  # What `--check` prints, with its status.
  def check(query)
    Open3.capture2e(ServerProcess.base_env, *ServerProcess::RUBY, File.join(ServerProcess::ROOT, "exe/tidegate"), "--check",
                    "-b", "ssl://127.0.0.1:0?#{query}", File.join(ServerProcess::FIXTURES, "hello.ru")).then { |text, status| [text, status.exitstatus] }
  end

  it "are chosen by the name that the client asks for, and the first is for all others" do
    files.write("a", names: %w[one.test])
    files.write("b", names: %w[*.two.test two.test])
    port = serve("#{pair}&cert=#{files.path("b.pem")}&key=#{files.path("b.key")}").port
    shown = %w[one.test two.test x.two.test x.y.two.test other.test].to_h { |name| [name, CertificateFiles.shown(port, name).first] }
    expect(shown).to eq("one.test" => "one.test", "two.test" => "*.two.test", "x.two.test" => "*.two.test",
                        "x.y.two.test" => "one.test", "other.test" => "one.test")
    expect(CertificateFiles.connect(port) { |socket| CertificateFiles.get(socket) }).to eq(200)
  end

  it "are what --check tells of, with the days that they have left" do
    files.write("a", names: %w[a.test b.test], days: 40)
    text, status = check(pair)
    expect(text).to match(%r{ssl://127\.0\.0\.1:0: a certificate for a\.test, b\.test, which is valid until \d{4}-\d\d-\d\d, for (?:39|40) days$})
    expect(status).to eq(0)
  end

  it "that cannot be used keep the server from starting, in a sentence that names the file" do
    files.write("a")
    files.write("b")
    mixed = "cert=#{files.path("a.pem")}&key=#{files.path("b.key")}"
    sentence = "the key #{files.path("b.key")} does not belong to the certificate #{files.path("a.pem")}"
    expect(check(mixed)).to match([a_string_including(sentence), 1])
    server = serve(mixed)
    expect(server.exit_status).to eq(1)
    expect(server.output).to include(sentence)
  end

  it "are told of at boot when they end soon" do
    files.write("a", days: 5)
    expect(serve(pair).ready.wait_for_line(/the certificate for localhost of \S+ expires on .*, in [45] days/)).to be_truthy
  end

  it "are opened with what key_password_command prints" do
    certificate, key = files.write("a")
    File.write(files.path("a.key"), key.private_to_pem(OpenSSL::Cipher.new("aes-256-cbc"), "sesame"))
    port = serve("#{pair}&key_password_command=echo%20sesame").port
    expect(CertificateFiles.connect(port) { |socket| socket.peer_cert.serial }).to eq(certificate.serial)
  end

  it "are asked of clients, or have to be shown" do
    authority = files.write("ca", names: %w[authority], authority: true)
    files.write("a")
    certificate, key = files.write("client", names: %w[client.test], by: authority)
    { "peer" => [200, 200], "force_peer" => [200, nil] }.each do |mode, expected|
      port = serve("#{pair}&ca=#{files.path("ca.pem")}&verify_mode=#{mode}").port
      statuses = [{ cert: certificate, key: }, {}].map do |own|
        CertificateFiles.connect(port, **own) { |socket| CertificateFiles.get(socket) }
      rescue OpenSSL::SSL::SSLError
        nil
      end
      expect(statuses).to eq(expected), mode
    end
  end

  it "are shown once a session: it is resumed by any worker of a cluster" do
    files.write("a")
    server = serve(pair, "-w", "4")
    port = server.ready.port
    session = nil
    CertificateFiles.connect(port, session_new_cb: ->((_, new)) { session = new }, session_cache_mode: OpenSSL::SSL::SSLContext::SESSION_CACHE_CLIENT) do |socket|
      CertificateFiles.get(socket)
    end
    reused = Array.new(24) do
      CertificateFiles.connect(port, session:) do |socket|
        CertificateFiles.get(socket)
        socket.session_reused?
      end
    end
    expect(reused).to all(be true)
  end

  it "are made for localhost in development, by an authority that stays" do
    state = files.path("state")
    boot_it = -> { boot("hello.ru", "-b", "ssl://127.0.0.1:0", env: { "XDG_STATE_HOME" => state }).ready }
    server = boot_it.call
    ca = server.wait_for_line(/shows a certificate for localhost, for development alone; to have it accepted trust (?<ca>\S+)/)[:ca]
    ports = [server.port, boot_it.call.port]
    expect(ports.map { |port| CertificateFiles.connect(port, ca_file: ca, verify_mode: OpenSSL::SSL::VERIFY_PEER) { |socket| CertificateFiles.get(socket) } })
      .to eq([200, 200])
    expect(File.stat(File.join(File.dirname(ca), "ca.key")).mode & 0o777).to eq(0o600)
  end
end
