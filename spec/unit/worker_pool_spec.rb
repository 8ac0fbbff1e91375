# frozen_string_literal: true

require "stringio"
require "support/fake_native"

RSpec.describe Tidegate::WorkerPool do
  let(:native) { FakeNative::Server.new(nil, {}) }
  let(:err) { StringIO.new }
  let(:pools) { [] }

  after do
    native.finish
    pools.each { |pool| pool.finish(5) }
  end

  def pool(min: 0, max: 3, **)
    described_class.new(native, min:, max:, log: Tidegate::Log.new(err:), **).start.tap { |pool| pools << pool }
  end

  it "starts the first workers at once, as named threads" do
    pool(min: 2)
    names = [native.next_worker, native.next_worker].map(&:name)
    expect(names).to contain_exactly("tidegate worker 1", "tidegate worker 2")
  end

  it "starts another whenever one is wanted" do
    pool = pool(min: 0)
    expect(pool.size).to eq 0
    2.times { native.demands << :spawn }
    2.times { native.next_worker }
    expect(pool.size).to eq 2
  end

  it "never has more than the maximum" do
    pool = pool(max: 2)
    5.times { native.demands << :spawn }
    expect([native.next_worker, native.next_worker, native.next_worker(within: 0.05)].compact.size).to eq 2
    expect(pool.size).to eq 2
  end

  it "rests, and does not spin, while a demand cannot be met" do
    allow(native).to receive(:demand).and_wrap_original { native.phase == :stopped ? :stopped : :spawn }
    pool(max: 1)
    native.next_worker
    native.next_worker(within: 0.1)
    expect(native).to have_received(:demand).at_most(3).times
  end

  # A collection of a large heap took the second that the threads have at the end.
  it "does not have the collector run for threads that end with the server" do
    allow(GC).to receive(:start)
    count = Tidegate::RetiredThreads::WORTH
    pool = pool(min: count, max: count)
    count.times { native.next_worker }
    allow(native).to receive(:demand).and_wrap_original { |demand| demand.call.tap { sleep 0.01 until native.jobs.num_waiting.zero? } }
    native.finish
    expect(pool.finish(20)).to be true
    expect(GC).not_to have_received(:start)
  end

  it "ends with the server" do
    pool = pool(min: 2)
    native.finish
    expect(pool.finish(5)).to be true
    expect(pool.size).to eq 0
  end

  it "runs hooks in each worker, first and when the server stops; what they raise stops nothing" do
    ran = Queue.new
    hooks = %w[first last].map do |name|
      Tidegate::Hooks.new(name, [-> { raise "on purpose" }, -> { ran << [name, Thread.current.name] }], Tidegate::Log.new(err:))
    end
    pool = pool(min: 1, hooks:)
    native.next_worker
    native.finish

    expect(pool.finish(5)).to be true
    expect(Array.new(ran.size) { ran.pop }).to eq [["first", "tidegate worker 1"], ["last", "tidegate worker 1"]]
    expect(err.string).to match(/\Atidegate: the hook first raised .*on purpose.*^tidegate: the hook last raised /m)
  end

  it "replaces a worker that was killed, under its name, and says so" do
    pool(min: 1)
    native.next_worker.kill
    expect(native.next_worker.name).to eq "tidegate worker 1"
    expect(err.string).to eq "tidegate: worker 1 was killed; another takes its place\n"
  end

  it "replaces a worker that an exception has ended, and says which" do
    pool(min: 1)
    native.next_worker.raise(IOError, "from outside")
    expect(native.next_worker.name).to eq "tidegate worker 1"
    expect(err.string).to eq "tidegate: worker 1 was ended by IOError: from outside; another takes its place\n"
  end

  it "replaces a worker in which the app called exit, and does not exit" do
    pool(min: 1)
    native.jobs << -> { exit(3) }
    expect([native.next_worker, native.next_worker].map(&:name)).to eq ["tidegate worker 1"] * 2
  end

  it "survives abort_on_exception" do
    pool(min: 1)
    worker = native.next_worker
    worker.abort_on_exception = true
    worker.raise(IOError, "from outside")
    expect(native.next_worker).to be_alive
  end

  it "pauses longer each time where workers die at once" do
    pauses = []
    allow(native).to receive(:work) { raise IOError unless native.phase == :stopped }
    allow_any_instance_of(Queue).to receive(:pop).and_wrap_original do |pop, timeout: nil|
      next pop.call(timeout:) if [nil, Tidegate::KeptThread::BEGIN_WITHIN].include?(timeout)

      pauses << timeout
      native.finish if pauses.size == 8
    end
    pool(min: 1).finish(5)
    expect(pauses).to eq [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
  end

  it "starts no new worker while the process ends" do
    script = <<~RUBY
      require "tidegate"; require "support/fake_native"
      native = FakeNative::Server.new(nil, {})
      Tidegate::WorkerPool.new(native, min: 3, max: 3, log: Tidegate::Log.new).start
      3.times { native.next_worker }
      at_exit { print "at_exit " }
    RUBY
    output = IO.popen([RbConfig.ruby, "-Ilib", "-Ispec", "-e", script, err: %i[child out]], &:read)
    expect([output, $?.exitstatus]).to eq ["at_exit ", 0]
  end

  it "kills the workers that the app does not give back in time" do
    pool = pool(min: 1)
    worker = native.next_worker
    started = Queue.new
    native.jobs << -> { started << true && Queue.new.pop }
    started.pop
    native.finish
    expect(pool.finish(0.05)).to be false
    expect(worker.join(5)).to be worker
    expect(err.string).to eq ""
  end

  it "goes on when the system has no more threads to give" do
    pool = pool(max: 2)
    calls = 0
    allow(Thread).to receive(:new).and_wrap_original do |original, *args, &block|
      raise ThreadError, "can't create Thread" if (calls += 1) == 1

      original.call(*args, &block)
    end
    allow(native).to receive(:join).and_return(false)
    2.times { native.demands << :spawn }
    expect(native.next_worker.name).to eq "tidegate worker 1"
    expect(err.string).to include("no thread can be started for another worker: can't create Thread")
    expect(pool.size).to eq 1
    RSpec::Mocks.space.proxy_for(native).reset
  end
end
