# frozen_string_literal: true

require_relative "../../../bench/rollout/client"
require_relative "../../../bench/rollout/tally"

RSpec.describe Rollout::Tally do
  subject(:tally) { described_class.new }

  def add(client, failure = nil, at: 10.0, took: 0.001)
    tally.add(Rollout::Client::Outcome.new(client, failure, at - took, at))
  end

  def roll(term)
    tally.mark(described_class::UNTOLD, at: term)
    tally.mark(described_class::TOLD, at: term + 2)
    tally.mark(described_class::GONE, at: term + 3)
    tally.mark(described_class::STEADY, at: term + 4)
  end

  it "counts requests by client and phase" do
    roll(20.0)
    { 19.9 => "steady", 20.0 => "lag", 22.5 => "told", 23.5 => "one left", 24.0 => "steady" }.each_key { |at| add("get", at:) }
    add("post", at: 22.0)

    expect(tally.total).to eq 6
    expect(tally.clients).to eq %w[get post]
    expect(described_class::PHASES.map { |phase| tally.requests(client: "get", phase:) }).to eq [2, 1, 1, 1]
    expect(tally.requests(phase: described_class::TOLD)).to eq 2
    expect(tally.requests(client: "post")).to eq 1
    expect(tally.failed).to eq 0
  end

  it "counts failures by client, phase and kind" do
    roll(20.0)
    add("get", "refused", at: 21.0)
    add("get", "reset", at: 21.0)
    add("post", "503", at: 19.0)
    add("post", at: 19.0)

    expect(tally.failed).to eq 3
    expect(tally.failed(client: "get")).to eq 2
    expect(tally.failed(phase: described_class::STEADY)).to eq 1
    expect(tally.failed(kind: "reset", phase: described_class::UNTOLD)).to eq 1
    expect(tally.failure_kinds).to eq %w[503 refused reset]
    expect(tally.failure_counts).to include(["get", "lag", "refused"] => 1)
    expect(tally.failures.map(&:kind)).to eq %w[refused reset 503]
  end

  it "says which phase it is" do
    expect(tally.phase).to eq "steady"
    tally.mark(described_class::TOLD, at: 5.0)
    expect(tally.phase).to eq "told"
  end

  it "says how long each phase was on average" do
    roll(20.0)
    tally.mark(described_class::UNTOLD, at: 40.0)
    tally.mark(described_class::TOLD, at: 44.0)
    tally.mark(described_class::STEADY, at: 47.0)

    expect(tally.spans.map(&:to_a)).to eq [["lag", 0.0, 3.0], ["told", 3.0, 5.0], ["one left", 3.0, 4.0]]
    expect(tally.terms).to eq 2
  end

  it "has the timeline around the TERM" do
    roll(20.0)
    add("get", "refused", at: 20.51)

    expect(tally.timeline.select { |bin| bin.requests.positive? }.map(&:to_a)).to eq [[0.5, 1, 1]]
  end

  it "knows how long requests took" do
    [0.1, 0.2, 3.0].each { |took| add("get", took:) }

    expect(tally.slowest("get")).to be_within(0.001).of(3.0)
    expect(tally.latencies("get").percentile(0.5)).to be_between(0.19, 0.23)
  end

  it "waits for a number of requests" do
    waiting = Thread.new { tally.wait_for(2, within: Patience::SECONDS) }
    2.times { add("get") }

    expect(Patience.value_of(waiting)).to be true
    expect(tally.wait_for(3, within: 0.01)).to be false
  end

  it "keeps the details of the first failures and the count of all" do
    (described_class::KEPT + 500).times { add("get", "refused") }

    expect(tally.failures.size).to eq described_class::KEPT
    expect(tally.failed).to eq described_class::KEPT + 500
  end

  # A hundred thousand requests need no more than ten thousand did.
  it "does not grow with the requests" do
    at = 0.0
    sizes = [10_000, 90_000].map do |count|
      count.times { add("get", "reset", at: (at += 0.004), took: rand(0.0001..2.0)) }
      Marshal.dump(plain(tally)).bytesize
    end

    expect(sizes.last).to be < sizes.first * 1.5
  end

  # An object as what it holds, down to numbers and words; hashes with a default block cannot be dumped as they are.
  def plain(value)
    case value
    when Hash then value.to_a.map { |pair| plain(pair) }
    when Array then value.map { |part| plain(part) }
    when Struct then value.to_a
    when Thread::Mutex, Thread::ConditionVariable then nil
    when Numeric, String, true, false, nil then value
    else value.instance_variables.map { |name| plain(value.instance_variable_get(name)) }
    end
  end
end
