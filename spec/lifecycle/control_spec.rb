# frozen_string_literal: true

# A running server, steered and watched from outside by `tidegate ctl`, by Puma's pumactl and by `tidegate top`.

require "io/console"
require "open3"
require "pty"
require "tmpdir"

RSpec.describe "tidegate ctl", :processes do
  let(:endless) { 600 }
  let(:token) { "0123456789abcdef" }
  let(:directory) { Dir.mktmpdir }

  after { FileUtils.rm_rf(directory) }

  def on_unix_socket(*arguments, **)
    serve("drain.ru", "--admin", "unix://#{directory}/admin.sock", "--drain-delay", endless, *arguments, **)
  end

  def over_tcp(**)
    serve("drain.ru", "--admin", "tcp://127.0.0.1:0", "--drain-delay", endless, env: { "TIDEGATE_ADMIN_TOKEN" => token }, **)
  end

  # The output and the exit status of a command, run as a user runs it.
  def ctl(*words, env: {})
    command = [*ServerProcess::RUBY, "#{ServerProcess::ROOT}/exe/tidegatectl", *words.map(&:to_s)]
    output, status = Open3.capture2e(ServerProcess.base_env.merge(env), *command, unsetenv_others: true, chdir: directory)
    [output, status.exitstatus]
  end

  def ctl_on(server, *words, **) = ctl("-C", server.admin, *words, **)

  it "looks at a server over its Unix socket, where the permissions of the file decide" do
    server = on_unix_socket
    server.connect.tap { |wire| wire.request("GET", "/wait") }
    meeting = meet("wait")

    expect(ctl_on(server, "status")).to eq(["ready: 1 request in flight, 1 connection\n", 0])
    expect(ctl_on(server, "stats")).to match([include(%("requests_count": 1), %("busy_threads": 1)), 0])
    expect(ctl_on(server, "gc")).to eq(["Ruby's garbage collector has run\n", 0])
    expect(ctl_on(server, "gc-stats", "--json")).to match([/\A{"count":\d+,/, 0])
    backtraces, status = ctl_on(server, "thread-backtraces")
    expect(status).to eq(0)
    expect(backtraces).to match(/^Thread main \(sleep\)\n  /).and match(%r{^Thread tidegate worker 1 \(sleep\) serves GET /wait\n(?:  .*\n)*?  .*drain\.ru:})
    meeting.release
  end

  it "drains a server, and waits until it serves nothing new any more" do
    server = on_unix_socket
    draining = Thread.new { ctl_on(server, "drain") }
    server.wait_for_line(/^tidegate: draining/)
    expect(ctl_on(server, "status")).to match([/\Adraining, \d+\.\d s left: /, 0])
    server.signal(:INT)

    expect(Patience.value_of(draining)).to eq(["drained: new connections are refused from now on\n", 0])
    expect(server.exit_status).to eq(0)
  end

  it "stops a server whose Ruby is stuck, and says who has asked" do
    needs_gem "fiddle"
    server = on_unix_socket("--drain-delay", 0)
    server.connect.tap { |wire| wire.request("GET", "/gvl") }
    meeting = meet("gvl")

    expect(ctl_on(server, "stop")).to eq(["the server drains, and then ends\n", 0])
    server.wait_for_line(/^tidegate: command stop from process \d+ of user #{Process.uid} on the Unix socket$/)
    server.wait_for_line(/^tidegate: closing/)
    meeting.release
    expect(server.exit_status).to eq(0)
  end

  it "halts a server without waiting for what is in flight" do
    server = on_unix_socket
    server.connect.tap { |wire| wire.request("GET", "/wait") }
    meet("wait")

    expect(ctl_on(server, "halt")).to eq(["the server ends\n", 0])
    expect(server.exit_status).to eq(1)
    expect(server.output).to match(/ cut=1 /)
  end

  it "takes the token over TCP, by which name it may come, and is refused without it" do
    server = over_tcp
    expect(ctl_on(server, "stop")).to match([/\Atidegate ctl: stop was refused: this changes the server and needs the admin_token/, 1])
    expect(ctl_on(server, "-T", "#{token}x", "gc-stats")).to match([/gc-stats was refused: /, 1])
    expect(ctl_on(server, "-T", token, "gc")).to match([/has run/, 0])
    expect(ctl_on(server, "status")).to match([/\Aready/, 0])
    expect(ctl_on(server, "stop", env: { "TIDEGATE_ADMIN_TOKEN" => token })).to eq(["the server drains, and then ends\n", 0])
    server.wait_for_line(/^tidegate: draining/)
  end

  it "says what a server cannot do" do
    server = on_unix_socket
    expect(ctl_on(server, "phased-restart")).to eq(["tidegate ctl: phased-restart is not possible on this server: phased_restart not available\n", 1])
  end

  it "steers a server without an admin listener by signals" do
    server = serve("drain.ru", "--pidfile", "#{directory}/pid", "--drain-delay", 0)
    expect(ctl("-P", "pid", "status")).to eq(["process #{server.pid} runs\n", 0])
    expect(ctl("-P", "pid", "stop")).to eq(["stop: process #{server.pid} was sent SIGTERM\n", 0])
    expect(server.exit_status).to eq(0)
    expect(ctl("-P", "pid", "stop")).to eq(["tidegate ctl: there is no pidfile pid: no server runs with it\n", 1])
  end

  it "halts it by signals as well" do
    server = serve("drain.ru", "--drain-delay", endless)
    server.connect.tap { |wire| wire.request("GET", "/wait") }
    meet("wait")
    expect(ctl("-p", server.pid, "halt")).to eq(["halt: process #{server.pid} was sent SIGINT\n", 0])
    expect(server.exit_status).to eq(1)
  end

  it "finds the server by the configuration of the directory, as the server does" do
    FileUtils.mkdir("#{directory}/config")
    File.write("#{directory}/config/tidegate.rb", "admin 'unix://admin.sock'\n")
    server = start("-p", 0, "-o", "127.0.0.1", fixture("drain.ru"), chdir: directory, env: rendezvous.env).ready
    expect(ctl("status")).to match([/\Aready/, 0])
    expect(ctl("halt")).to match([/ends/, 0])
    expect(server.exit_status).to eq(0)
  end

  it "starts a server, and takes no path for a command" do
    started = start("ctl", "-F", "-", "start", "-p", "0", "-o", "127.0.0.1", fixture("drain.ru"), env: rendezvous.env).ready
    expect(started.get("/").body).to eq("hello\n")
    other = start("./ctl", chdir: directory)
    other.wait_for_line(/there is no rackup file ctl: /)
    expect(other.exit_status).to eq(1)
  end

  describe "beside Puma's pumactl" do
    before { skip "Puma is not here" unless Gem::Specification.find_all_by_name("puma").any? || puma_path }

    def puma_path = Gem.path.map { |path| Dir["#{path}/gems/puma-*/bin/pumactl"].first }.compact.first

    def pumactl(*words)
      Open3.capture2e(ServerProcess.base_env, RbConfig.ruby, puma_path, *words, unsetenv_others: true, chdir: directory)
           .then { |output, status| [output, status.exitstatus] }
    end

    it "does what that asks for" do
      server = over_tcp
      url = server.admin.sub("http", "tcp")
      expect(pumactl("-C", url, "-T", "wrong", "stats")).to match([/"requests_count":0/, 0]) # the numbers need none
      expect(pumactl("-C", url, "-T", "wrong", "stop")).to eq(["Unauthorized access to server (wrong auth token)\n", 1])
      expect(pumactl("-C", url, "-T", token, "gc-stats")).to match([/Command gc-stats sent success\n.*"count":/, 0])
      expect(pumactl("-C", url, "-T", token, "thread-backtraces")).to match([/"name":"main"/, 0])
      expect(pumactl("-C", url, "-T", token, "phased-restart")).to match([/Command error: .*phased_restart not available/, 1])
      expect(pumactl("-C", url, "-T", token, "stop")).to eq(["Command stop sent success\n", 0])
      server.wait_for_line(/^tidegate: draining/)
    end
  end
end

RSpec.describe "tidegate top", :processes do
  let(:server) { serve("drain.ru", "--admin", "tcp://127.0.0.1:0", "-t", "2:4") }

  def command(*words) = [*ServerProcess::RUBY, "#{ServerProcess::ROOT}/exe/tidegate", "top", "-i", "0.1", *words]

  # Runs it in a terminal of 24 x 80, and yields what it has shown so far, a place to type, and its process.
  def in_terminal(*words)
    shown = Lines.new("the terminal")
    PTY.spawn(ServerProcess.base_env, *command(*words), unsetenv_others: true) do |output, keys, pid|
      output.winsize = [24, 80]
      reader = Thread.new do
        loop { shown.write(output.readpartial(4096)) }
      rescue EOFError, Errno::EIO
        nil
      end
      ending = Thread.new { Process.wait2(pid).last.exitstatus }
      yield shown, keys, pid, output
      status = Patience.value_of(ending, "it to end")
      Patience.value_of(reader, "the end of its output")
      return status
    ensure
      Process.kill(:KILL, pid) if ending&.alive?
    end
  end

  def until_shown(shown, pattern, from: 0)
    Patience.until_true("#{pattern.inspect} in the terminal") { shown.to_s.byteslice(from..).match?(pattern) }
  end

  it "prints the table once where there is no terminal" do
    server.get("/")
    output, status = Open3.capture2e(ServerProcess.base_env, *command(server.admin), unsetenv_others: true)
    expect(status.exitstatus).to eq(0)
    expect(output).to start_with("tidegate #{Tidegate::VERSION}   ready   #{server.admin}\n")
    expect(output).to match(%r{^STATE  BUSY  QUEUE .*\nready   0/4      0 })
  end

  it "says so where no server answers" do
    admin = server.admin
    server.end
    output, status = Open3.capture2e(ServerProcess.base_env, *command(admin), unsetenv_others: true)
    expect([output, status.exitstatus]).to eq(["tidegate top: no server answers on #{admin}: it does not run, or its admin listener is elsewhere\n", 1])
  end

  it "follows the server in a terminal until a q, and leaves the terminal as it was" do
    status = in_terminal(server.admin) do |shown, keys, pid, terminal|
      until_shown(shown, %r{ready\s+0/4})
      server.connect.tap { |wire| wire.request("GET", "/wait") }
      meet("wait")
      until_shown(shown, %r{ready\s+1/4})
      terminal.winsize = [24, 30]
      Process.kill(:WINCH, pid)
      seen = shown.to_s.bytesize
      until_shown(shown, /\[Htidegate.{,30}\e\[K.*\[Htidegate/m, from: seen)
      keys.print("x")
      keys.print("q")
    end
    expect(status).to eq(0)
  end

  it "goes on asking when the server is gone, and ends by Ctrl-C" do
    status = in_terminal(server.admin) do |shown, keys|
      until_shown(shown, %r{ready\s+0/4})
      server.end
      until_shown(shown, /asking again: no server answers on /)
      keys.print("\u0003")
    end
    expect(status).to eq(0)
  end
end
