# frozen_string_literal: true

# What keeps the master of a cluster from its work: hooks that do not return, and a system that has no room for a process. TERM did nothing
# then, and a worker that had died was not replaced; the platform's KILL cut what was in flight.
RSpec.describe "a master that is held up", :processes do
  def configured(text)
    @file = Tempfile.new(%w[held_up .rb]).tap { |file| file.write(text) && file.flush }
    @file.path
  end

  %w[after_booted after_worker_fork before_worker_fork].each do |hook|
    it "gives up its hook #{hook} when it is told to stop" do
      server = boot("cluster.ru", "-w", 2, "-C", configured("#{hook} { puts('in the hook') || sleep }"), "--drain-delay", 0)
      server.wait_for_line(/in the hook/)
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: the hook #{hook} did not return, and was given up because the cluster is told to stop$/)
      expect(server.exit_status).to eq 0
    end
  end

  it "ends in time where its hook after_stopped does not return" do
    server = serve("cluster.ru", "-w", 2, "-C", configured("after_stopped { sleep }"), "--termination-grace", 4, "--drain-delay", 0)
    server.signal(:TERM)
    expect(server.exit_status).to eq 0
  end

  it "says that it can fork no worker, and does what it is told" do
    another = %w[setpriv --reuid=64322 --regid=64322 --clear-groups]
    able = system(*another, "test", "-r", fixture("cluster.ru"), err: File::NULL) && system("prlimit", "--version", out: File::NULL)
    skip "only root can be another user, and prlimit has to be here" unless able

    command = [*another, *ServerProcess::RUBY, File.join(ServerProcess::ROOT, "exe/tidegate"), *ProcessHelpers::USUAL, "-w", 2, fixture("cluster.ru")]
    server = track(ServerProcess.new(command.map(&:to_s))).ready
    system(*another, "prlimit", "--pid=#{server.pid}", "--nproc=1:10000", exception: true)
    first, = worker_pids(server)
    Process.kill(:KILL, first)
    server.wait_for_line(/^tidegate: no worker can be started: Resource temporarily unavailable - fork \(ulimit -u, pids\.max\)$/)
    expect(server.get("/").status).to eq 200
    server.signal(:TERM)
    expect(server.exit_status).to eq 0
  end
end
