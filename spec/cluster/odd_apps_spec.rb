# frozen_string_literal: true

# Apps that end, stop or cripple the worker they run in: the master and the other workers go on, and there are as many workers as before.

RSpec.describe "a cluster with an odd app", :processes do
  # Does something to one worker, waits until another is in its place, and returns its pid.
  def cripple(server, path)
    pid = server.get("/").body.to_i
    wire = Patience.until_true("a connection to #{pid}") do
      candidate = server.connect
      candidate.get("/").body.to_i == pid ? candidate : candidate.close
    end
    wire.request("GET", path)
    wait_gone(pid)
    Patience.until_true("another worker") { !wait_workers(server, 2).include?(pid) }
    pid
  end

  def ends_well(server)
    expect(Array.new(6) { server.get("/").status }.uniq).to eq [200]
    server.signal(:TERM)
    expect(server.exit_status).to eq 0
  end

  it "answers with 500 for exit, abort and signals that are raised, in the worker that was there before" do
    server = cluster(fixture: "odd.ru")
    before = worker_pids(server)
    %w[/exit /abort /signal].each { |path| expect(server.get(path).status).to eq 500 }
    expect(worker_pids(server)).to eq before
    ends_well(server)
  end

  it "replaces a worker that calls exit!" do
    server = cluster(fixture: "odd.ru")
    pid = cripple(server, "/exit!")
    expect(server.output).to match(/^tidegate: worker \d \(pid #{pid}\) has ended with status 4; another takes its place/)
    ends_well(server)
  end

  it "kills a worker that stops itself, once, and goes on when its successor has booted" do
    server = cluster("--worker-timeout", 3, "--worker-check-interval", 1, fixture: "odd.ru")
    pid = cripple(server, "/stop")
    expect(server.output.scan(/pid #{pid}\).* \(worker_timeout\), and is killed/).size).to eq 1
    expect(server.output).not_to include("(killed)")
    ends_well(server)
  end

  it "replaces a worker that has closed its descriptors, the socket to the master too" do
    server = cluster("--worker-timeout", 3, "--worker-check-interval", 1, fixture: "odd.ru")
    cripple(server, "/close")
    ends_well(server)
  end

  it "goes on with workers that have other traps, children, another directory and no output" do
    server = cluster("--shutdown-timeout", 3, fixture: "odd.ru")
    before = worker_pids(server)
    %w[/trap /fork /chdir /silence].each { |path| 6.times { expect(server.get(path).status).to eq 200 } }
    expect(worker_pids(server)).to eq before
    ends_well(server)
  end

  it "does not let an app cut off requests that traps TERM and INT while a worker loads it" do
    server = cluster("--no-preload", fixture: "odd.ru", env: { "SPEC_TRAPS" => "1" })
    expect(server.output.scan(/^tidegate: the app has trapped TERM and INT; its handler is not used/).size).to eq 1
    before = worker_pids(server)
    before.each { |pid| Process.kill(:INT, pid) }
    Process.kill(:TERM, before.first)
    wait_gone(before.first)

    expect(wait_workers(server, 2)).to include(before.last)
    expect(server.output).not_to include("has ended with status 9")
    ends_well(server)
  end

  # The configuration file with that text.
  def configured(text) = File.join(Dir.mktmpdir("tidegate"), "tidegate.rb").tap { |path| File.write(path, text) }

  it "ends with 0, in the platform's time, where at_exit does not return" do
    server = cluster("-C", configured("before_worker_boot { at_exit { sleep } }\n"), "--termination-grace", 4, fixture: "odd.ru")
    server.signal(:TERM)
    expect(server.exit_status).to eq 0
    expect(server.output.scan(/^tidegate: exiting with 0 now/).size).to eq 2
  end

  it "kills a worker whose before_worker_shutdown does not return, and says so once" do
    hook = configured("before_worker_shutdown { sleep }\n")
    server = cluster("-C", hook, "--worker-shutdown-timeout", 0.5, "--termination-grace", 4, fixture: "odd.ru")
    pid, = worker_pids(server)
    Process.kill(:TERM, pid)
    server.wait_for_line(/^tidegate: worker \d \(pid #{pid}\) has not left within 0.5 s \(worker_shutdown_timeout\), and is killed/)
    wait_gone(pid)
    wait_workers(server, 2)
    expect(server.output).not_to include("while it left")
  end

  # Where only root may read it, as in a home directory of root's.
  def private_copy_of_the_gem
    @copy = Dir.mktmpdir
    %w[exe lib].each { |directory| FileUtils.cp_r("#{ServerProcess::ROOT}/#{directory}", @copy, preserve: true) }
    @copy
  end

  after { FileUtils.rm_rf(@copy) if @copy }

  # A worker failed to load what it needed only then: "cannot load such file -- tidegate/pool/places".
  it "serves with workers that have given up their privileges and cannot read the gem any more, and replaces them" do
    skip "only root has privileges to give up" unless Process.euid.zero?

    copy = private_copy_of_the_gem
    hook = configured("before_worker_boot { Process::UID.change_privilege(65_534) }\n")
    arguments = [*ProcessHelpers::USUAL, "-w", 2, "-C", hook, "--request-timeout", 0.5, "--admin", "tcp://127.0.0.1:0", fixture("odd.ru")]
    server = track(ServerProcess.new([RbConfig.ruby, "-I#{copy}/lib", "#{copy}/exe/tidegate", *arguments].map(&:to_s))).ready
    before = worker_pids(server)
    expect(before.map { |pid| File.read("/proc/#{pid}/status")[/^Uid:\s+(\d+)/, 1] }.uniq).to eq %w[65534]
    server.signal(:USR2)
    before.each { |pid| wait_gone(pid) }
    wait_workers(server, 2)
    ends_well(server)
    expect(server.output).not_to include("LoadError")
    # Only the superuser may tell the kernel twice to refuse new handshakes. The second worker's line said that some were lost.
    expect(server.output).not_to include("handshakes under way")
  end

  it "says how many descriptors it needs, where it may not have them" do
    server = boot("odd.ru", "-w", 4, rlimit_nofile: [40, 40])
    expect(server.exit_status).to eq 1
    expect(server.output).to match(/^tidegate: cannot make what the workers share, 16 places .*\(ulimit -n is 40\): .*Too many open files/)
    expect(server.output.lines.size).to eq 1
  end

  it "ends with a sentence where another server has begun to listen on its port meanwhile" do
    port = Addrinfo.tcp("127.0.0.1", 0).bind { |socket| socket.local_address.ip_port }
    server = boot("slow_boot.ru", "-w", 2, "-p", port)
    visitor = meet("boot")
    TCPServer.open("127.0.0.1", port) do
      visitor.release
      expect(server.exit_status).to eq 1
    end
    expect(server.output).to match(/^tidegate: cannot listen on .*: the address is already in use by another process/)
    expect(server.output.scan(/none serves: the server ends/).size).to eq 1
  end
end
