# frozen_string_literal: true

# With sockets that the process is started with, with the spec in systemd's place: it binds them, keeps them, and starts one server
# after the other.

RSpec.describe "with sockets of systemd", :processes do
  let(:listener) { TCPServer.new("127.0.0.1", 0) }
  let(:port) { listener.local_address.ip_port }

  after { listener.close }

  # As systemd starts a service: the shell sets what only the new process knows, its id.
  def activate(*arguments, socket: listener, env: {})
    command = ["/bin/sh", "-c", "LISTEN_PID=$$ exec \"$@\"", "sh", *ServerProcess::RUBY, "#{ServerProcess::ROOT}/exe/tidegate", *arguments]
    env = rendezvous.env.merge("LISTEN_FDS" => "1", "LISTEN_FDNAMES" => "app.socket", **env)
    track(ServerProcess.new(command.map(&:to_s), env:, 3 => socket))
  end

  def ask(wire) = wire.write("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")

  def knock = Wire.open("tcp://127.0.0.1:#{port}").tap { |wire| ask(wire) }

  usual = ["-C", "-", "--termination-grace", 3600]

  it "serves them alone, and a client that comes while no server runs is answered by the next one" do
    early = knock
    server = activate(*usual, fixture("hello.ru")).ready
    expect(early.response.body).to eq "hello\n"
    expect(server.addresses).to eq ["http://127.0.0.1:#{port}"]
    server.signal(:TERM)
    expect(server.exit_status).to eq 0

    between = knock
    activate(*usual, fixture("hello.ru")).ready
    expect(between.response.body).to eq "hello\n"
    expect(knock.response.body).to eq "hello\n"
  end

  it "refuses no client in a drain, and answers what is in the queue" do
    server = activate(*usual, "--drain-delay", 600, fixture("drain.ru")).ready
    server.signal(:TERM)
    server.wait_for_line(/drain/)
    expect(knock.response.status).to eq 200
    server.frozen do
      @queued = knock
      server.signal(:TERM)
    end
    expect(@queued.response.status).to eq 200
    expect(server.exit_status).to eq 0
    expect(Socket.tcp("127.0.0.1", port) { true }).to be true
  end

  it "fails no request of clients that go on through one restart after the other" do
    server = activate(*usual, fixture("hello.ru")).ready
    going = true
    statuses = Array.new(4) do
      Thread.new { [].tap { |all| all << knock.then { |wire| wire.response.status.tap { wire.close } } while going } }
    end
    3.times do
      server.signal(:TERM)
      expect(server.exit_status).to eq 0
      server = activate(*usual, fixture("hello.ru")).ready
      server.get("/")
    end
    going = false
    answered = statuses.flat_map { |thread| Patience.value_of(thread, "a client") }

    expect(answered.tally.keys).to eq [200]
  end

  it "serves them beside what else is set, and leaves nothing of systemd in the app's environment" do
    text = "run ->(_env) { [200, {}, [ENV.keys.grep(/LISTEN_|TIDEGATE_INHERIT/).inspect]] }"
    Dir.mktmpdir do |directory|
      File.write("#{directory}/config.ru", text)
      server = activate(*usual, "-b", "unix://#{directory}/app.sock", "#{directory}/config.ru").ready
      expect(server.addresses).to eq ["unix://#{directory}/app.sock", "http://127.0.0.1:#{port}"]
      expect([server.get("/").body, knock.response.body]).to eq ["[]", "[]"]
    end
  end

  it "keeps the file of a Unix socket" do
    Dir.mktmpdir do |directory|
      UNIXServer.open("#{directory}/app.sock") do |socket|
        server = activate(*usual, fixture("hello.ru"), socket:).ready
        expect(server.get("/").body).to eq "hello\n"
        server.signal(:TERM)
        expect(server.exit_status).to eq 0
        expect(Dir.children(directory)).to eq ["app.sock"]
      end
    end
  end
end
