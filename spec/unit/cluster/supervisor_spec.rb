# frozen_string_literal: true

require "socket"

RSpec.describe Tidegate::Supervisor do
  let(:clock) { { now: 1000.0 } }
  let(:lines) { [] }
  let(:log) { instance_double(Tidegate::Log).tap { |log| %i[info error].each { |name| allow(log).to receive(name) { |line| lines << line } } } }
  let(:cluster) { instance_double(Tidegate::Native::Cluster, slots: 16, reserve: 0, gone: nil, spawned: nil, count_restart: nil, begin_phase: 1) }
  let(:configuration) { Tidegate::Configuration.resolve(flags: flags, env: {}) }
  let(:flags) do
    Tidegate::Configuration::Layer.new.tap do |layer|
      { workers: "1", config: "-", preload_app: "false" }.each { |name, text| layer.set_text(Tidegate::Configuration::OPTIONS.fetch(name), text, "spec") }
    end
  end
  let(:parts) { instance_double(Tidegate::WorkerParts, configuration:, cluster:, log:, preloaded?: false) }
  let(:ends) { [] } # the workers' ends of their sockets
  let(:nursery) do
    pid = 100
    instance_double(Tidegate::Nursery, kill_mold: nil, close: nil).tap do |nursery|
      allow(nursery).to receive(:fork) do |index, slot, _, **more|
        mine, theirs = UNIXSocket.pair
        ends << theirs
        Tidegate::WorkerHandle.new(index:, slot:, control: mine, pid: forks_itself ? pid += 1 : nil, **more)
      end
    end
  end
  let(:forks_itself) { true }
  let(:supervisor) { described_class.new(parts) }

  before do
    allow(Process).to receive(:clock_gettime).and_wrap_original { clock[:now] }
    allow(Tidegate::Native).to receive(:adopt_orphans)
    allow(Tidegate::Nursery).to receive(:new).and_return(nursery)
  end

  after { ends.each(&:close) }

  def says(line)
    ends.last << "#{line}\n"
    supervisor.hear(supervisor.sockets)
  end

  # The worker's process ends with 3.
  def dies
    status = instance_double(Process::Status, success?: false, signaled?: false, exitstatus: 3)
    allow(Process).to receive(:wait2).and_return([supervisor.first.pid, status], nil)
    supervisor.reap { raise "of no worker" }
  end

  # Seconds until a worker is started again.
  def pause
    before = clock[:now]
    until supervisor.any?
      supervisor.reconcile
      clock[:now] += 0.05 if supervisor.none?
    end
    (clock[:now] - before).round(1)
  end

  it "waits ever longer where workers end as soon as they serve, and not once one has stayed" do
    supervisor.begin([])
    pauses = Array.new(4) do
      says("booted")
      dies
      pause
    end
    expect(pauses).to eq [0.1, 0.2, 0.4, 0.8]

    says("booted")
    clock[:now] += 1.5
    supervisor.reconcile
    dies
    expect(pause).to eq 0.0
  end

  context "with a successor that boots" do
    before do
      supervisor.begin([])
      says("booted")
      supervisor.replace(supervisor.first, :max_requests)
      supervisor.reconcile
    end

    let(:replaced) { supervisor.first }

    it "sends away the one before it, and says why" do
      says("booted")
      expect(replaced).to be_retiring
      expect(lines.last).to end_with("pid 102 serves in the place of pid 101 (max_requests)")
    end

    it "lets both serve on where the drain has begun meanwhile" do
      supervisor.stop_replacing
      says("booted")
      expect(supervisor.map(&:state)).to eq %i[serving serving]
    end

    it "does not send away one that it has killed meanwhile" do
      allow(replaced).to receive(:kill)
      supervisor.kill(replaced, "has given no sign of life", :timeout)
      says("booted")
      expect(supervisor.map(&:state)).to eq %i[serving serving]
    end
  end

  it "gives up where the system forks no process" do
    allow(nursery).to receive(:fork).and_raise(Errno::EAGAIN)
    supervisor.begin([])
    40.times { (clock[:now] += 0.25) && supervisor.reconcile }

    expect(supervisor).to be_given_up
    expect(supervisor.status).to eq 1
    expect(lines.count { |line| line.start_with?("no worker can be started: ") }).to eq 5
  end

  it "lets a worker leave that was told to, unless all drain" do
    supervisor.begin([])
    says("booted")
    says("leave")
    supervisor.reconcile
    expect(supervisor.first).to be_serving
    expect(supervisor).to be_waiting

    clock[:now] += 0.25
    supervisor.reconcile
    expect(supervisor.first).to be_retiring
    expect(ends.first.read_nonblock(9)).to eq "R"
  end

  it "believes no worker that it has another pid" do
    supervisor.begin([])
    says("pid 1")
    expect(supervisor.first.pid).to eq 101
  end

  context "with workers that a mold forks" do
    let(:forks_itself) { false }

    it "believes a pid of its own process group only" do
      supervisor.begin([])
      says("pid 1")
      says("pid #{Process.pid}")
      expect(supervisor.first.pid).to be_nil

      child = Process.spawn("sleep 60")
      says("pid #{child}")
      expect(supervisor.first.pid).to eq child
    ensure
      Process.kill(:KILL, child)
      Process.wait(child)
    end

    it "kills a mold that does not fork" do
      supervisor.begin([])
      supervisor.kill(supervisor.first, "has not booted")
      expect(nursery).to have_received(:kill_mold)
      expect(supervisor).to be_none
    end
  end
end
