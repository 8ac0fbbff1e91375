# frozen_string_literal: true

require_relative "../../../bench/comparison/statistics"

RSpec.describe Comparison::Statistics do
  it "has the middle of odd and even numbers of numbers" do
    expect(described_class.median([3, 1, 2])).to eq 2
    expect(described_class.median([4, 1, 2, 3])).to eq 2.5
    expect { described_class.median([]) }.to raise_error(ArgumentError)
  end

  it "has the least and the most beside it" do
    expect(described_class.spread([5, 1, 2]).to_a).to eq [2.0, 1.0, 5.0]
    expect(described_class.spread([5, 1, 2]).to_s(1)).to eq "2.0 (1.0-5.0)"
  end

  it "takes ratios within a round, not of medians" do
    ratios = described_class.ratios({ 1 => 100, 2 => 30, 3 => 20 }, { 1 => 50, 2 => 10, 3 => 10 })
    expect(ratios).to eq [2.0, 3.0, 2.0]
    expect(described_class.median(ratios)).to eq 2.0 # of the medians it would be 3
  end

  it "has no ratio for a round that one of them missed, or to nothing" do
    expect(described_class.ratios({ 1 => 5, 2 => 6 }, { 2 => 3, 3 => 9 })).to eq [2.0]
    expect(described_class.ratios({ 1 => 5, 2 => nil }, { 1 => 0, 2 => 3 })).to eq []
  end
end
