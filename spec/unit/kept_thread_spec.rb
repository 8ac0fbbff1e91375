# frozen_string_literal: true

require "stringio"

RSpec.describe Tidegate::KeptThread do
  let(:err) { Lines.new("the log") }
  let(:here) { Queue.new }
  let(:go) { Queue.new }
  let(:kept) do
    described_class.new("tidegate test", Tidegate::Log.new(err:)) do
      here << Thread.current
      raise IOError, "on purpose" if go.pop == :raise
    end
  end

  after do
    go.close
    kept.kill
  end

  it "has a name, and is over when its work is" do
    kept.start
    expect(Patience.pop(here).name).to eq "tidegate test"
    go << :end
    expect(kept.join(Patience::SECONDS)).to be kept
    expect([kept.alive?, here.size, err.to_s]).to eq [false, 0, ""]
  end

  it "is replaced when it is killed, as often as that is" do
    kept.start
    3.times do
      Patience.pop(here).kill
      err.wait_for(/\Atidegate: the thread tidegate test was killed; another takes its place\z/)
    end
    Patience.pop(here)
    expect(kept.join(0)).to be_nil
    go << :end
    expect(kept.join(Patience::SECONDS)).to be kept
  end

  it "is replaced, after a pause, when its work raises" do
    stub_const("#{described_class}::PAUSE", 0.01)
    kept.start
    first = Patience.pop(here)
    first.report_on_exception = false
    go << :raise
    expect(Patience.pop(here)).not_to be first
    err.wait_for(/was ended by IOError: on purpose/)
  end

  # A thread that is killed before Ruby has run it for the first time never runs, not even its ensure.
  it "is replaced when it was killed before it began" do
    stub_const("#{described_class}::BEGIN_WITHIN", 0.01)
    killed = false
    allow(Thread).to receive(:new).and_wrap_original do |original, &block|
      original.call(&block).tap { |thread| killed ||= thread.kill && true }
    end
    kept.start
    expect(Patience.pop(here)).to be_alive
  end

  it "is not replaced when it is ended for good" do
    kept.start
    Patience.pop(here)
    kept.kill
    expect(kept.join(Patience::SECONDS)).to be kept
    expect([here.size, err.to_s]).to eq [0, ""]
  end
end
