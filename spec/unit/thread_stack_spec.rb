# frozen_string_literal: true

RSpec.describe Tidegate::ThreadStack do
  def increase = GC.stat(:malloc_increase_bytes)

  def threads(count)
    gate = Queue.new
    started = Array.new(count) { yield(gate) }
    [increase, GC.count]
  ensure
    gate.close
    started&.each(&:join)
  end

  # Without it the collector runs for every 16 to 32 threads.
  it "keeps the garbage collector from counting the stacks of threads" do
    GC.start
    runs = GC.count
    bytes, runs_after = threads(100) { |gate| described_class.uncounted { Thread.new { gate.pop } } }
    expect(runs_after - runs).to be <= 1
    expect(bytes).to be < 50 * described_class::LEAST
  end

  it "returns what the block does, and leaves everything else counted" do
    GC.disable
    before = increase
    kept = described_class.uncounted { "x" * 4096 }
    expect([kept.size, increase - before >= 4096]).to eq [4096, true]
  ensure
    GC.enable
  end

  it "does without the count where the collector has none" do
    allow(GC).to receive(:stat).and_raise(ArgumentError, "unknown key: malloc_increase_bytes")
    expect(described_class.uncounted { :thread }).to eq :thread
  end
end
