# frozen_string_literal: true

# New certificates without a restart.
RSpec.describe "certificates that are replaced", :processes do
  around { |example| Dir.mktmpdir { |directory| (@files = CertificateFiles.new(directory)) && example.run } }

  attr_reader :files

  before { files.write("a", names: %w[old.test]) }

  let(:pair) { "cert=#{files.path("a.pem")}&key=#{files.path("a.key")}" }

  # A terminal would send HUP when it goes.
  def serve(*more) = boot_with_terminal("hello.ru", "-b", "ssl://127.0.0.1:0?#{pair}", "--admin", "tcp://127.0.0.1:0", *more, terminal: false).ready

  it "are shown to new connections, and those that are open keep theirs" do
    server = serve("--tls-reload-interval", "0.05")
    CertificateFiles.connect(server.port) do |before|
      files.write("a", names: %w[new.test])
      server.wait_for_line(/has new certificates: new\.test until /)
      expect(CertificateFiles.shown(server.port)).to eq(%w[new.test])
      expect(CertificateFiles.get(before)).to eq(200)
    end
  end

  it "may be behind a symbolic link that is changed, as in a Kubernetes secret" do
    %w[one two].each { |name| Dir.mkdir(files.path(name)) }
    CertificateFiles.new(files.path("one")).write("tls", names: %w[one.test])
    CertificateFiles.new(files.path("two")).write("tls", names: %w[two.test])
    File.symlink("one", files.path("..data"))
    %w[pem key].each { |kind| File.symlink("..data/tls.#{kind}", files.path("tls.#{kind}")) }
    server = boot("hello.ru", "-b", "ssl://127.0.0.1:0?cert=#{files.path("tls.pem")}&key=#{files.path("tls.key")}", "--tls-reload-interval", "0.05").ready
    expect(CertificateFiles.shown(server.port)).to eq(%w[one.test])
    File.symlink("two", files.path("..data_tmp"))
    File.rename(files.path("..data_tmp"), files.path("..data"))
    server.wait_for_line(/has new certificates: two\.test until /)
    expect(CertificateFiles.shown(server.port)).to eq(%w[two.test])
  end

  it "are refused in a line when they cannot be used, and the old one stays until they can" do
    server = serve("--tls-reload-interval", "0.05")
    files.replace("a.key", OpenSSL::PKey::EC.generate("prime256v1").to_pem)
    server.wait_for_line(/keeps its certificates, as the new ones cannot be used: the key \S+ does not belong to the certificate/)
    expect(CertificateFiles.shown(server.port)).to eq(%w[old.test])
    files.write("a", names: %w[new.test])
    server.wait_for_line(/has new certificates: new\.test until /)
    metrics = Wire.open(server.admin) { |wire| wire.get("/metrics").body }
    expect(metrics).to match(/^tidegate_tls_certificate_reloads_total\{result="refused"\} 1$/)
    expect(metrics).to match(/^tidegate_tls_certificate_not_after_seconds\{name="new\.test"\} \d+/)
  end

  it "are looked at on HUP" do
    server = serve("--tls-reload-interval", "0")
    files.write("a", names: %w[new.test])
    server.signal(:HUP)
    server.wait_for_line(/SIGHUP: the files of certificates are looked at anew/)
    server.wait_for_line(/has new certificates: new\.test until /)
    expect(CertificateFiles.shown(server.port)).to eq(%w[new.test])
  end

  it "are taken by all workers of a cluster, which say it once" do
    server = serve("-w", "2", "--tls-reload-interval", "0")
    files.write("a", names: %w[new.test])
    server.signal(:HUP)
    server.wait_for_line(/has new certificates: new\.test until /)
    Patience.until_true("both workers to have it") do
      Wire.open(server.admin) { |wire| wire.get("/metrics").body }.include?('tidegate_tls_certificate_reloads_total{result="ok"} 2')
    end
    expect(Array.new(8) { CertificateFiles.shown(server.port) }.uniq).to eq([%w[new.test]])
    expect(server.output.scan("has new certificates").size).to eq(1)
  end

  it "do not end the sessions that clients resume after a restart of the process" do
    server = boot("hello.ru", "-b", "ssl://127.0.0.1:0?#{pair}").ready
    session = nil
    options = { session_new_cb: ->((_, new)) { session = new }, session_cache_mode: OpenSSL::SSL::SSLContext::SESSION_CACHE_CLIENT }
    CertificateFiles.connect(server.port, **options) { |socket| CertificateFiles.get(socket) }
    port = server.port
    server.signal(:USR2)
    Patience.until_true("the next image to serve") { server.output.scan(ServerProcess::READY).size == 2 }
    expect(CertificateFiles.connect(port, session:, &:session_reused?)).to be true
  end
end
