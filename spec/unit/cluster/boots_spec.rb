# frozen_string_literal: true

RSpec.describe Tidegate::Boots do
  subject(:boots) { described_class.new(3) }

  let(:clock) { { now: 1000.0 } }

  before { allow(Process).to receive(:clock_gettime).and_wrap_original { clock[:now] } }

  it "waits ever longer after failures, up to a limit" do
    pauses = Array.new(9) do
      boots.failed
      before = clock[:now]
      clock[:now] += 0.05 until boots.due?
      (clock[:now] - before).round(1)
    end
    expect(pauses).to eq [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
  end

  it "has no hope after so many in a row, and new hope after one that succeeded" do
    2.times { boots.failed }
    expect(boots).not_to be_hopeless
    boots.failed
    expect(boots).to be_hopeless
    boots.succeeded
    expect([boots.hopeless?, boots.due?]).to eq [false, true]
  end
end
