# frozen_string_literal: true

# A master and its workers, as an operator and a client see them.

RSpec.describe "a cluster", :processes do
  let(:endless) { 600 }

  it "serves with its workers, which take turns" do
    server = cluster(workers: 3)
    expect(server.output).to match(/^tidegate: ready on http\S+ \(3 workers, each with up to 32 threads; on SIGTERM/)

    pids = worker_pids(server)
    seen = Array.new(30) { server.get("/pid").body.to_i }
    expect(seen.uniq).to match_array(pids)
    expect(pids).not_to include(server.pid)
  end

  it "loads the app once, in the master, before the fork" do
    server = cluster
    expect(Array.new(10) { server.get("/loaded").body.to_i }.uniq).to eq [server.pid]
  end

  it "loads the app in each worker where it is not to be preloaded" do
    server = cluster("--no-preload")
    expect(Array.new(20) { server.get("/loaded").body.to_i }.uniq).to match_array(worker_pids(server))
  end

  it "has a master without threads of its own" do
    server = cluster
    names = Dir["/proc/#{server.pid}/task/*/comm"].map { |file| File.read(file).chomp }
    expect(names.grep(/tidegate-/)).to eq []
  end

  it "is a cluster with one worker too, and none with zero" do
    one = cluster(workers: 1)
    expect(worker_pids(one).size).to eq 1
    expect(one.get("/pid").body.to_i).not_to eq one.pid

    none = cluster(workers: 0)
    expect(none.get("/pid").body.to_i).to eq none.pid
  end

  describe "that gets TERM" do
    it "serves for the delay in all workers, then ends with 0, and tells of one drain" do
      server = cluster("--drain-delay", endless)
      kept = worker_pids(server).map { |pid| connect_to(server, pid) }
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: draining: SIGTERM/)
      10.times { expect(server.get("/").status).to eq 200 }
      kept.each { |wire| expect(wire.get("/").status).to eq 200 }
      server.signal(:TERM)

      expect(server.exit_status).to eq 0
      expect(server.output.scan(/^tidegate: (draining|closing|drain): /).flatten).to eq %w[draining closing drain]
      expect(server.output[/^tidegate: drain: done .*/]).to match(/ requests=1[2-9] .* cut=0 .* exit=0/)
    end

    it "finishes what is in flight in each worker" do
      server = cluster
      waiting = worker_pids(server).map { |pid| connect_to(server, pid).request("GET", "/wait") }
      visitors = waiting.map { meet("wait") }
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: closing: SIGTERM/)
      visitors.each { |visitor| visitor.release("finished") }

      expect(waiting.map { |wire| wire.response.body }).to eq %w[finished finished]
      expect(server.exit_status).to eq 0
    end

    it "says 1 when a request was cut" do
      server = cluster("--shutdown-timeout", 0.3)
      server.connect.request("GET", "/wait")
      meet("wait")
      server.signal(:TERM)

      expect(server.exit_status).to eq 1
      expect(server.output[/^tidegate: drain: done .*/]).to match(/ cut=1 .* exit=1/)
    end

    it "ends while it boots" do
      server = boot("slow_boot.ru", "-w", 2)
      meet("boot")
      server.signal(:TERM)
      expect(server.exit_status).to eq 0
    end

    it "ends while its workers boot" do
      server = boot("slow_boot.ru", "-w", 2, "--no-preload")
      2.times { meet("boot") }
      server.signal(:TERM)
      expect(server.exit_status).to eq 0
    end
  end

  describe "whose worker ends" do
    it "replaces it, and serves on" do
      server = cluster
      before = worker_pids(server)
      Process.kill(:KILL, before.first)
      server.wait_for_line(/^tidegate: worker \d \(pid #{before.first}\) was ended by SIGKILL; another takes its place/)
      after = Patience.until_true("another worker") { (pids = wait_workers(server, 2)) != before && pids }

      expect(Array.new(20) { server.get("/pid").body.to_i }.uniq).to match_array(after)
      expect(after).to include(before.last)
    end

    it "gives up where no worker can boot" do
      server = boot("raises_at_load.ru", "-w", 2, "--no-preload")
      expect(server.exit_status).to eq 1
      expect(server.output).to match(/^tidegate: 5 workers in a row could not boot, and none serves: the server ends/)
    end

    it "has no orphan when the master is killed: the workers drain and leave" do
      server = cluster("--drain-delay", 0.5)
      pids = worker_pids(server)
      waiting = connect_to(server, pids.first).request("GET", "/wait")
      visitor = meet("wait")
      server.signal(:KILL)
      wait_gone(pids.last)
      visitor.release("finished")
      expect(waiting.response.body).to eq "finished"
      pids.each { |pid| wait_gone(pid) }
    end
  end

  describe "that is to have other workers" do
    it "adds one on TTIN and removes one on TTOU, but not the last" do
      server = cluster(workers: 1)
      server.signal(:TTIN)
      wait_workers(server, 2)
      server.signal(:TTOU)
      pid, = wait_workers(server, 1)
      server.signal(:TTOU)
      server.wait_for_line(/one worker is left, and stays/)
      expect(worker_pids(server)).to eq [pid]
    end

    it "replaces one that is told to leave, whose clients notice nothing" do
      server = cluster
      first, = worker_pids(server)
      wire = connect_to(server, first)
      Process.kill(:TERM, first)
      wait_gone(first)

      expect(wire.get("/pid").body.to_i).not_to eq first
      wait_workers(server, 2)
    end

    it "replaces one that has served so many requests, after its successor has booted" do
      server = cluster("--max-requests", 20, "--max-requests-jitter", 0, workers: 1)
      first, = worker_pids(server)
      wire = server.connect
      20.times { expect(wire.get("/pid").body.to_i).to eq first }
      wait_gone(first)

      expect(wire.get("/pid").body.to_i).not_to eq first
      expect(server.output).to match(/^tidegate: worker 0: pid \d+ serves in the place of pid #{first} \(max_requests\)/)
    end

    it "replaces one that has grown too large" do
      server = cluster("--max-memory", "150M", workers: 1)
      first, = worker_pids(server)
      3.times { server.get("/memory") }
      wait_gone(first)
      expect(server.wait_for_line(/serves in the place of pid #{first} \(max_memory\)/)).to be_truthy
    end

    it "kills one that gives no sign of life, but not one that is busy" do
      server = cluster("--worker-timeout", 3, "--worker-check-interval", 1)
      busy, stopped = worker_pids(server)
      wire = connect_to(server, busy).request("GET", "/wait")
      visitor = meet("wait")
      Process.kill(:STOP, stopped)
      server.wait_for_line(/^tidegate: worker \d \(pid #{stopped}\) has given no sign of life for .* \(worker_timeout\), and is killed/)
      visitor.release("still there")
      expect(wire.response.body).to eq "still there"
      expect(wait_workers(server, 2)).to include(busy)
    end
  end
end
