# frozen_string_literal: true

# By what the shared table tells; checkup_spec.rb has silence and the clock.
RSpec.describe Tidegate::Checkup do
  subject(:checkup) { described_class.new(supervisor, parts) }

  let(:settings) do
    { worker_boot_timeout: 60.0, worker_shutdown_timeout: 30.0, worker_timeout: 60.0, max_memory: nil, refork_after: [] }
  end
  let(:configuration) { Struct.new(*settings.keys).new(*settings.values) }
  let(:views) { [] }
  let(:parts) { instance_double(Tidegate::WorkerParts, configuration:, cluster: Struct.new(:workers).new(views)) }
  let(:workers) { [] }
  let(:done) { [] }
  let(:supervisor) do
    log = done
    all = workers
    Class.new do
      include Enumerable
      define_method(:each) { |&block| all.each(&block) }
      define_method(:kill) { |worker, sentence, reason = nil| log << [:kill, worker.index, sentence, reason] }
      define_method(:replace) { |worker, reason| log << [:replace, worker.index, reason] }
      define_method(:refork) { |worker| log << [:refork, worker.index] }
    end.new
  end

  def worker(index, state: :serving, age: 1, request_limit: nil, slot: index)
    handle = Tidegate::WorkerHandle.new(index:, slot:, control: nil, pid: 100 + index, state:, request_limit:)
    allow(handle).to receive(:age).and_return(age)
    workers << handle
  end

  def view(slot, **numbers) = views << { slot:, state: :serving, heartbeat_age: 0.5, requests: 0, rss: 0, stuck: 0, **numbers }

  def look
    checkup.look
    done
  end

  it "leaves a worker alone that does well" do
    worker(0)
    view(0)
    expect(look).to eq []
  end

  it "kills one that does not boot in time, or does not leave" do
    worker(0, state: :booting, age: 61)
    worker(1, state: :booting, age: 59)
    worker(2, state: :retiring, age: 33)
    worker(3, state: :retiring, age: 31)
    expect(look.map { |_, index, sentence| [index, sentence[/\((\w+)\)/, 1]] }).to eq [[0, "worker_boot_timeout"], [2, "worker_shutdown_timeout"]]
  end

  it "waits without end where a timeout is off" do
    settings.merge!(worker_boot_timeout: nil, worker_timeout: nil)
    worker(0, state: :booting, age: 1e9)
    worker(1)
    view(1, heartbeat_age: 1e9)
    expect(look).to eq []
  end

  it "has one replaced that has served enough, has grown too large, or has a stuck thread" do
    settings[:max_memory] = 1000
    worker(0, request_limit: 10)
    worker(1)
    worker(2)
    worker(3, request_limit: 10)
    view(0, requests: 10)
    view(1, rss: 1001)
    view(2, stuck: 1)
    view(3, requests: 9, rss: 1000)
    expect(look).to eq [[:replace, 0, :max_requests], [:replace, 1, :max_memory], [:replace, 2, :stuck]]
  end

  it "knows nothing of a worker of the image before, and judges it by the clock alone" do
    worker(0, slot: nil, request_limit: 1)
    view(0, requests: 9, heartbeat_age: 1e9)
    expect(look).to eq []
  end

  it "reforks from the warmest, ever later" do
    settings[:refork_after] = [10, 100]
    worker(0)
    worker(1)
    view(0, requests: 9)
    view(1, requests: 12)
    expect(look).to eq [[:refork, 1]]
    expect(look.size).to eq 1
    views.last[:requests] = 100
    expect(look).to eq [[:refork, 1], [:refork, 1]]
  end
end
