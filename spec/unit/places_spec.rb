# frozen_string_literal: true

RSpec.describe Tidegate::Places do
  it "gives each number once, until it is given back" do
    places = described_class.new(3) { true }
    expect(Array.new(4) { places.take }).to eq [1, 2, 3, nil]
    places.give_back(2)
    expect([places.take, places.take]).to eq [2, nil]
  end

  it "finds those that were not given back, when no other is free" do
    living = [1, 3]
    places = described_class.new(3) { |number| living.include?(number) }
    expect(Array.new(3) { places.take }).to eq [1, 2, 3]
    expect(places.take).to eq 2
    living << 2
    expect(places.take).to be_nil
  end
end
