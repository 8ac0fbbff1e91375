# frozen_string_literal: true

require_relative "../../../bench/rollout/timeline"

RSpec.describe Rollout::Timeline do
  subject(:timeline) { described_class.new }

  # What is not empty, as { seconds => [requests, failures] }.
  def filled = timeline.bins.reject { |bin| bin.requests.zero? }.to_h { |bin| [bin.at, [bin.requests, bin.failures]] }

  it "has bins of a tenth of a second, from five seconds before to twenty after" do
    expect(timeline.bins.map(&:at)).to eq((-50..199).map { |n| n / 10.0 })
    expect(filled).to be_empty
  end

  it "counts by the time from the TERM" do
    timeline.term(100.0)
    [[99.95, false], [100.0, true], [100.05, false], [102.51, true]].each { |at, failed| timeline.add(at, failed:) }

    expect(filled).to eq(-0.1 => [1, 0], 0.0 => [2, 1], 2.5 => [1, 1])
  end

  it "counts what ended before the TERM was known" do
    timeline.add(97.0, failed: false)
    timeline.term(100.0)

    expect(filled).to eq(-3.0 => [1, 0])
  end

  it "takes the nearest of several" do
    timeline.term(100.0)
    timeline.add(104.0, failed: false)
    timeline.add(108.04, failed: true)
    timeline.term(110.0)

    expect(filled).to eq(4.0 => [1, 0], -2.0 => [1, 1])
  end

  it "gives what is too long before a TERM to the one before" do
    timeline.term(100.0)
    timeline.add(112.04, failed: false)
    timeline.term(118.0)

    expect(filled).to eq(12.0 => [1, 0])
  end

  it "leaves out what is far from any" do
    timeline.add(94.0, failed: true)
    timeline.term(100.0)
    timeline.add(120.5, failed: true)

    expect(filled).to be_empty
  end

  it "comes to the same whether it is asked now and then or at the end, and forgets no TERM" do
    asked = described_class.new
    [timeline, asked].each do |it|
      20.times do |roll|
        it.term(1000.0 + roll * 30)
        (0...300).each { |n| it.add(1000.05 + roll * 30 + n / 10.0, failed: (n % 7).zero?) }
        it.bins if it == asked
      end
    end

    expect(asked.bins).to eq timeline.bins
    expect(timeline.terms).to eq 20
    expect(timeline.bins.find { |bin| bin.at == 3.0 }.to_a).to eq [3.0, 20, 0]
    expect(timeline.bins.find { |bin| bin.at == 2.8 }.to_a).to eq [2.8, 20, 20]
    expect(timeline.bins.find { |bin| bin.at == -4.0 }.requests).to eq 19
  end
end
