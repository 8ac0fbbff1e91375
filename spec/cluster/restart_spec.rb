# frozen_string_literal: true

# Restarts of a cluster: other code in the place of the old, while clients ask all the time.

require "json"
require "tempfile"

RSpec.describe "a cluster that restarts", :processes do
  let(:version) { Tempfile.new("version").tap { |file| File.write(file.path, "one") } }

  def versioned(*, **) = cluster(*, env: { "SPEC_VERSION" => version.path }, **)

  # Asks on kept and on new connections until the block returns, and returns what failed.
  def asking(server)
    failures = Queue.new
    over = false
    askers = [
      *Array.new(4) { KeptClient.new(server.address) }.map { |client| -> { client.get("/").status } },
      -> { server.get("/").status }
    ].map { |ask| Thread.new { (status = ask.call) == 200 || failures << status until over || failures.size > 9 } }
    askers.each { |thread| thread.report_on_exception = false }
    yield
    over = true
    askers.each { |thread| Patience.value_of(thread, "an asker") }
    Array.new(failures.size) { failures.pop }
  end

  def serves(server, text)
    Patience.until_true("all workers to be of version #{text}") { Array.new(12) { server.get("/version").body }.uniq == [text] }
  end

  it "replaces the workers on USR1, one after the other" do
    server = versioned("--no-preload", "--admin", "tcp://127.0.0.1:0")
    before = worker_pids(server)
    File.write(version.path, "two")
    failed = asking(server) do
      server.signal(:USR1)
      before.each { |pid| wait_gone(pid) }
      serves(server, "two")
    end
    expect(failed).to eq []
    stats = Wire.open(server.admin) { |wire| JSON.parse(wire.get("/stats").body) }
    expect(stats.values_at("phase", "old_workers", "booted_workers")).to eq [1, 0, 2]
    expect(server.output.scan(/serves in the place of pid \d+ \(phased restart\)/).size).to eq 2
  end

  it "becomes another image on USR2, in the same process" do
    server = versioned
    before = worker_pids(server)
    File.write(version.path, "two")
    failed = asking(server) do
      server.signal(:USR2)
      before.each { |pid| wait_gone(pid) }
      serves(server, "two")
    end
    expect(failed).to eq []
    expect(server.get("/loaded").body.to_i).to eq server.pid
    server.signal(:TERM)
    expect(server.exit_status).to eq 0
  end

  # The new image ended at once, and its workers were on their own: in a container they were killed with it.
  it "finishes what is in flight where TERM comes while the new image loads the app" do
    server = versioned
    wire = server.connect.request("GET", "/wait")
    request = meet("wait")
    File.write(version.path, "slow")
    server.signal(:USR2)
    meet("load").release # the trial
    meet("load")
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: SIGTERM came before the new image led the workers: they finish what they have$/)
    request.release
    expect(wire.response.status).to eq 200
    expect(server.exit_status).to eq 0
  end

  # The trial of the next image said it all once more.
  it "says what it makes of its configuration once for each image" do
    server = cluster(workers: 1)
    server.signal(:USR2)
    Patience.until_true("the next image") { server.output.scan(/^tidegate: ready on /).size == 2 }
    expect(server.output.scan("one worker serves as workers 0 would").size).to eq 2
  end

  it "survives signals that come while it becomes another image" do
    server = versioned
    Patience.until_true("another image") do
      %i[USR2 TTIN TTOU].each { |name| server.signal(name) }
      server.output.scan(/^tidegate: ready on/).size > 1
    end
    expect(alive?(server.pid)).to be true
    expect(server.get("/").status).to eq 200
  end

  it "does so on USR1 where the app is preloaded, and says so" do
    server = versioned
    File.write(version.path, "two")
    server.signal(:USR1)
    server.wait_for_line(/^tidegate: restarting: the app is preloaded, so that the master is replaced too/)
    serves(server, "two")
  end

  it "changes nothing where the new code cannot boot" do
    server = versioned
    before = worker_pids(server)
    File.write(version.path, "broken")
    server.signal(:USR2)
    server.wait_for_line(/^tidegate: the new image has ended with status 1 in its trial boot: nothing is restarted/)

    expect(worker_pids(server)).to eq before
    expect(server.get("/version").body).to eq "one"
  end

  it "changes nothing on USR1 where new workers cannot boot" do
    server = versioned("--no-preload")
    before = worker_pids(server)
    File.write(version.path, "broken")
    server.signal(:USR1)
    server.wait_for_line(/^tidegate: the workers are not replaced, as the new ones cannot boot; those that are there serve on/)
    expect(worker_pids(server)).to include(*before)
    expect(server.get("/version").body).to eq "one"
  end

  it "forks the next workers from a warm one on URG" do
    server = cluster
    before = worker_pids(server)
    failed = asking(server) do
      server.signal(:URG)
      before.each { |pid| Patience.until_true("#{pid} to serve no more") { !title(pid).start_with?("tidegate: worker") } }
      wait_workers(server, 2)
    end
    expect(failed).to eq []
    mold, = children(server.pid).select { |pid| title(pid).start_with?("tidegate: mold") }
    expect(before).to include(mold)

    server.signal(:TERM)
    expect(server.exit_status).to eq 0
    wait_gone(mold)
  end

  it "has a mold in which the server's threads have ended, also the one that would end its process in time" do
    server = cluster
    server.signal(:URG)
    mold = Patience.until_true("a mold") { children(server.pid).find { |pid| title(pid).start_with?("tidegate: mold") } }
    names = -> { Dir["/proc/#{mold}/task/*/comm"].map { |file| File.read(file).chomp } }
    Patience.until_true("the threads of the server to end") { (names.call.grep(/\Atidegate-/) - %w[tidegate-log]).empty? }
    expect(alive?(mold)).to be true
  end

  it "forks from a warm worker again, and says when it cannot yet" do
    server = cluster
    server.signal(:URG)
    server.wait_for_line(/^tidegate: refork: worker \d \(pid \d+\) becomes the mold/)
    server.signal(:URG)
    server.wait_for_line(/^tidegate: no refork now: workers are being replaced/)

    Patience.until_true("all workers to be replaced") { server.output.scan("(refork)").size == 3 } # the mold's successor too
    server.signal(:URG)
    Patience.until_true("another mold") { server.output.scan("becomes the mold").size == 2 }
  end

  it "has no mold that it has not asked for" do
    server = cluster
    first, = worker_pids(server)
    Process.kill(:URG, first)
    Process.kill(:TERM, first)
    wait_gone(first)
    expect(wait_workers(server, 2)).not_to include(first)
  end

  # The mold did not know the byte: the cluster waited for it until the budget was over, killed it, and exited with 1.
  it "ends with its mold when it has had no request for idle_timeout" do
    server = cluster("--idle-timeout", 2)
    server.signal(:URG)
    mold = Patience.until_true("a mold") do
      server.get("/")
      children(server.pid).find { |pid| title(pid).start_with?("tidegate: mold") }
    end
    server.wait_for_line(/^tidegate: no request for 2 s \(idle_timeout\): the server stops$/)
    expect(server.exit_status).to eq 0
    wait_gone(mold)
    expect(server.output).not_to include("SIGKILL")
  end

  it "goes on without its mold" do
    server = cluster
    server.signal(:URG)
    mold = Patience.until_true("a mold") { children(server.pid).find { |pid| title(pid).start_with?("tidegate: mold") } }
    Process.kill(:KILL, mold)
    server.wait_for_line(/^tidegate: the mold was ended by SIGKILL; the next workers are forked from the master/)
    first, = wait_workers(server, 2)
    Process.kill(:KILL, first)
    Patience.until_true("another worker") { !wait_workers(server, 2).include?(first) }
    expect(server.get("/").status).to eq 200
  end
end
