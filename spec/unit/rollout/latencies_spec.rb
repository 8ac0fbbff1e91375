# frozen_string_literal: true

require_relative "../../../bench/rollout/latencies"

RSpec.describe Rollout::Latencies do
  subject(:latencies) { described_class.new }

  it "has nothing to say of no requests" do
    expect([latencies.count, latencies.percentile(0.5), latencies.max]).to eq [0, 0.0, 0.0]
  end

  it "has percentiles that are at most a tenth too high and never too low" do
    (1..1000).to_a.shuffle.each { |milliseconds| latencies.add(milliseconds / 1000.0) }

    expect(latencies.percentile(0.5)).to be_between(0.5, 0.55)
    expect(latencies.percentile(0.99)).to be_between(0.99, 1.0)
    expect(latencies.percentile(1)).to eq 1.0
    expect(latencies.max).to eq 1.0
  end

  it "puts a single slow request where it belongs" do
    999.times { latencies.add(0.001) }
    latencies.add(5.0)

    expect(latencies.percentile(0.99)).to be < 0.0012
    expect(latencies.max).to eq 5.0
  end

  it "needs little memory for a wide range" do
    10_000.times { |n| latencies.add(0.000001 * (1.002**n)) }

    expect(latencies.instance_variable_get(:@buckets).size).to be < 250
  end

  it "can be copied" do
    latencies.add(0.001)
    copy = latencies.dup
    copy.add(9.0)

    expect(latencies.percentile(1)).to be < 0.002
    expect(copy.percentile(1)).to eq 9.0
  end
end
