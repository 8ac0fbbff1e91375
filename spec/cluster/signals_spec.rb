# frozen_string_literal: true

# Signals to a cluster in awkward moments, and to all of its processes at once.

require "tmpdir"

RSpec.describe "a cluster in an awkward moment", :processes do
  # A configuration whose workers meet the spec before they boot, as long as the file is there that is returned with it.
  def meeting_workers
    directory = Dir.mktmpdir("tidegate")
    gate = File.join(directory, "gate")
    config = File.join(directory, "tidegate.rb")
    File.write(config, <<~RUBY)
      require #{File.join(ServerProcess::FIXTURES, "meeting.rb").dump}
      before_worker_boot { Meeting.at("worker") if File.exist?(#{gate.dump}) }
    RUBY
    [config, gate]
  end

  def trial_of(server)
    Patience.until_true("the trial") do
      children(server.pid).find { |pid| !title(pid).empty? && !title(pid).start_with?("tidegate") }
    end
  end

  it "drains by its plan when TERM comes to the whole process group" do
    server = cluster("--drain-delay", 600, workers: 3)
    Process.kill(:TERM, -server.pid)
    server.wait_for_line(/^tidegate: draining: SIGTERM; serving everything new/)
    20.times { expect(server.get("/").status).to eq 200 }
    server.signal(:TERM)

    expect(server.exit_status).to eq 0
    expect(server.output).not_to include("was told to leave")
  end

  it "lets a worker leave at once that is told to twice, also while the master stands still" do
    server = cluster
    pid, = worker_pids(server)
    server.frozen do
      2.times { Process.kill(:TERM, pid) && Patience.until_true("the signal") { pending_signals(pid).zero? } }
      wait_left(pid)
    end
    wait_workers(server, 2)
  end

  def pending_signals(pid) = File.read("/proc/#{pid}/status")[/^ShdPnd:\s*(\h+)/, 1].hex

  # A zombie as long as the master does not wait for it.
  def wait_left(pid) = Patience.until_true("#{pid} to leave") { !alive?(pid) }

  it "does not lose its listeners when it is restarted while a worker boots" do
    config, gate = meeting_workers
    server = cluster("-C", config)
    File.write(gate, "")
    Process.kill(:KILL, worker_pids(server).first)
    booting = meet("worker")
    server.signal(:USR2)
    wait_gone(trial_of(server))
    File.delete(gate)
    booting.release

    Patience.until_true("the new image to serve") { server.output.scan(/^tidegate: ready on/).size == 2 }
    wait_workers(server, 2)
    10.times { expect(server.get("/").status).to eq 200 }
    expect(server.output).not_to include("is not an option")
  end

  it "goes on when a worker ends while its successor boots" do
    config, gate = meeting_workers
    server = cluster("-C", config, "--no-preload", workers: 1)
    old, = worker_pids(server)
    File.write(gate, "")
    server.signal(:USR1)
    successor = meet("worker")
    Process.kill(:KILL, old)
    server.wait_for_line(/^tidegate: worker 0 \(pid #{old}\) was ended by SIGKILL/)
    successor.release

    wait_workers(server, 1)
    expect(server.get("/").status).to eq 200
    server.signal(:TERM)
    expect(server.exit_status).to eq 0
  end

  it "ends on TERM while a new image is tried, and the trial with it" do
    server = boot("slow_boot.ru", "-w", 1)
    meet("boot").release
    server.ready.signal(:USR2)
    meet("boot")
    trial = trial_of(server)
    server.signal(:TERM)

    expect(server.exit_status).to eq 0
    wait_gone(trial)
  end

  it "says which process tries the new image, when it is asked again" do
    server = boot("slow_boot.ru", "-w", 1)
    meet("boot").release
    server.ready.signal(:USR2)
    visitor = meet("boot")
    server.signal(:USR2)
    server.wait_for_line(/^tidegate: a restart is under way already: process #{trial_of(server)} tries the new image/)
    visitor.release
    meet("boot").release
    Patience.until_true("the new image to serve") { server.output.scan(/^tidegate: ready on/).size == 2 }
  end

  # It ended with 1, because the new worker was ended by the signal itself.
  it "ends with 0 when TERM comes before a new worker can hear of it" do
    Dir.mktmpdir do |directory|
      File.write("#{directory}/tidegate.rb", <<~RUBY)
        before_worker_fork { @before = File.read("/proc/self/task/\#{Process.pid}/children").split }
        after_worker_fork do
          next unless File.exist?(#{"#{directory}/gate".dump})
          child, = File.read("/proc/self/task/\#{Process.pid}/children").split - @before
          Process.kill(:STOP, Integer(child))
          # Until it stands still it would take the TERM to come first.
          sleep 0.001 until File.read("/proc/\#{child}/stat")[/\\) (\\w)/, 1] == "T"
          File.write(#{"#{directory}/child.new".dump}, child)
          File.rename(#{"#{directory}/child.new".dump}, #{"#{directory}/child".dump})
          Process.kill(:TERM, Process.pid)
        end
      RUBY
      server = cluster("-C", "#{directory}/tidegate.rb")
      File.write("#{directory}/gate", "")
      Process.kill(:KILL, worker_pids(server).first)
      server.wait_for_line(/^tidegate: closing: SIGTERM/)
      child = Integer(File.read("#{directory}/child"))
      Patience.until_true("the signal") { File.read("/proc/#{child}/status")[/^ShdPnd:\s*(\h+)/, 1].hex.anybits?(1 << 14) }
      Process.kill(:CONT, child)

      expect(server.exit_status).to eq 0
    end
  end

  it "survives signals in quick succession, and ends with 0" do
    server = cluster
    %i[USR1 USR1 TTIN USR2 TTOU URG HUP USR2 TTIN].each { |name| server.signal(name) }
    expect(server.get("/").status).to eq 200
    server.signal(:TERM)
    expect(server.exit_status).to eq 0
  end
end
