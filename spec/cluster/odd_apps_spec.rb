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
end
