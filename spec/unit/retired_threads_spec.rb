# frozen_string_literal: true

RSpec.describe Tidegate::RetiredThreads do
  let(:retired) { described_class.new { @busy } }

  before do
    @collected = 0
    allow(GC).to receive(:start) { @collected += 1 }
    allow(Tidegate::Native).to receive(:trim_memory)
  end

  # So many threads retire, until so many are left.
  def retire(from, to) = (from - 1).downto(to) { |left| retired.add(left) }

  it "has what most of many threads have left collected a few times, and given back to the system" do
    retire(10_000, 0)
    expect(@collected).to be_between(1, 4)
    expect(Tidegate::Native).to have_received(:trim_memory).exactly(@collected).times
  end

  it "leaves few threads to Ruby, and those of which most stay" do
    retire(described_class::WORTH - 1, 0)
    retire(10_000, 9000)
    expect(@collected).to eq(0)
  end

  it "does not hold up a request, and does it later" do
    @busy = true
    retire(1000, 1)
    expect(@collected).to eq(0)
    @busy = false
    retire(1, 0)
    expect(@collected).to eq(1)
  end
end
