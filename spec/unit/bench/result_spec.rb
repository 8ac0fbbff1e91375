# frozen_string_literal: true

require_relative "../../../bench/comparison/bar"
require_relative "../../../bench/comparison/contestants"
require_relative "../../../bench/comparison/generator"
require_relative "../../../bench/comparison/result"
require_relative "../../../bench/comparison/summary"
require_relative "../../../bench/comparison/turn"
require_relative "../../../bench/comparison/workload"

RSpec.describe Comparison::Result do
  def sample(rate, p99 = 1.0, errors: 0)
    Comparison::Sample.new(finished: rate, requests: rate, rate: rate.to_f, p50: p99 / 2, p90: p99, p99:, p999: p99, max: p99, errors:,
                           failures: {}, bytes: 0)
  end

  # A turn with one kind of client, or with those samples by their clients' names.
  def turn(server, round, samples = nil, cpu: 10.0, all: nil)
    Comparison::Turn.new(server:, round:, cpu:, pss: 20.0, peak: 30.0, switches: 1.0, samples: samples || { "all" => all })
  end

  def result(name, turns, **more)
    Comparison::Result.new(Comparison::Workload.find(name), turns,
                           baselines: ->(number) { number.end_with?("p99") ? "puma8:1" : "puma8:5" }, **more)
  end

  # Three rounds; the second on a machine that is half as fast.
  let(:hello) do
    turns = [
      turn("tidegate", 1, all: sample(700, 1.0)), turn("puma8:5", 1, cpu: 80.0, all: sample(100, 8.0)), turn("puma8:1", 1, all: sample(50, 2.0)),
      turn("tidegate", 2, all: sample(300, 2.0)), turn("puma8:5", 2, cpu: 80.0, all: sample(50, 9.0)), turn("puma8:1", 2, all: sample(25, 4.0)),
      turn("tidegate", 3, all: sample(650, 1.0, errors: 2)), turn("puma8:5", 3, cpu: 80.0, all: sample(100, 8.0)),
      turn("puma8:1", 3, all: sample(50, 4.0))
    ]
    result("hello", turns, syscalls: { "tidegate" => 3.25 }, missing: { "unicorn" => "unicorn is not here" })
  end

  it "compares each number with the server that is best in it, within the round" do
    expect(hello.ratio("tidegate", "all.rate").to_a).to eq [6.5, 6.0, 7.0]
    expect(hello.ratio("tidegate", "all.p99").to_a).to eq [0.5, 0.25, 0.5]
    expect(hello.ratio("tidegate", "cpu").median).to eq 0.125
    expect(hello.number("tidegate", "all.rate").median).to eq 650
  end

  it "counts errors, and has nothing where nothing was measured" do
    expect(hello.errors("tidegate")).to eq 2
    expect(hello).to be_errors
    expect(hello.number("tidegate", "idle_kib")).to be_nil
    expect(hello.ratio("tidegate", "p99_growth")).to be_nil
  end

  it "prints a table with the server that the ratios are to, and those that were left out" do
    lines = Comparison::Summary.new(hello).to_s.lines(chomp: true)
    head = lines.find { |line| line.include?("req/s") }
    row = lines.find { |line| line.start_with?("tidegate") }

    expect(head.split(/\s{2,}/)).to include("rate/puma8:5", "p99/puma8:1", "CPU us/req", "sys/req", "errors")
    expect(row.split).to eq %w[tidegate 650 0.50 1.00 1.00 10.0 1.00 20.0 30.0 3.2 2 6.50 0.12 0.50 1.00]
    expect(lines).to include("left out: unicorn: unicorn is not here")
  end

  it "has a row for each kind of client" do
    mixed = result("mixed", [turn("tidegate", 1, { "cpu" => sample(10), "sleep" => sample(20) })])
    rows = Comparison::Summary.new(mixed).to_s.lines(chomp: true).last(2)
    expect(rows.map { |row| row.split.first(3) }).to eq [%w[tidegate cpu 10], %w[tidegate sleep 20]]
  end

  it "has a row for each kind of request in a mix" do
    mixed = result("balance-sleep", [turn("tidegate", 1, { "small" => sample(10), "slow" => sample(20) })], how: "4 workers")
    lines = Comparison::Summary.new(mixed).to_s.lines(chomp: true)
    expect(lines.first).to include("64 connections, 250/s by the clock; 4 workers")
    expect(lines.last(2).map { |row| row.split.first(3) }).to eq [%w[tidegate small 10], %w[tidegate slow 20]]
  end

  it "says everything as plain data" do
    data = hello.to_h
    expect(data[:servers]["tidegate"][:ratios]["all.rate"]).to eq(to: "puma8:5", median: 6.5, least: 6.0, most: 7.0)
    expect(data[:servers]["tidegate"][:rounds].first[:samples]["all"][:rate]).to eq 700.0
  end

  describe Comparison::Found do
    it "takes the count with the most of a rate and with the least of all else" do
      tried = { 1 => { "all.rate" => 10, "all.p99" => 2 }, 5 => { "all.rate" => 30, "all.p99" => 9 } }
      found = described_class.of(tried, %w[all.rate all.p99])
      expect(found.best).to eq("all.rate" => 5, "all.p99" => 1)
      expect(found.counts).to eq [5, 1]
    end
  end

  describe Comparison::Contestants do
    it "searches only for a Puma without a set number of threads" do
      expect(described_class.new(%w[tidegate puma8], baseline: "puma8")).to be_search
      expect(described_class.new(%w[tidegate puma8], baseline: "puma8", threads: 5)).not_to be_search
      expect(described_class.new(%w[tidegate puma8:16], baseline: "puma8:16")).not_to be_search
      expect(described_class.new(%w[tidegate], baseline: "tidegate")).not_to be_search
    end

    it "compares with the fixed count where there was no search" do
      expect(described_class.new(%w[tidegate puma8], baseline: "puma8", threads: 3).baseline_for("cpu")).to eq "puma8:3"
      expect(described_class.new(%w[tidegate puma8:16], baseline: "puma8:16").baseline_for("cpu")).to eq "puma8:16"
    end

    it "leaves out a server that is not here, and remembers why" do
      allow(Rig::Servers).to receive(:find).and_raise(Rig::Missing, "unicorn is not here")
      contestants = described_class.new(%w[unicorn], baseline: "unicorn")
      expect(contestants.to_a).to eq []
      expect(contestants.missing).to eq("unicorn" => "unicorn is not here")
    end
  end

  describe Comparison::Bar do
    it "says what was reached, by the median, and what was not measured" do
      verdicts = described_class.new({ "hello" => hello }).rows.group_by { |row| row.goal.workload }
                                .transform_values { |rows| rows.map(&:verdict).uniq }
      expect(verdicts["hello"]).to eq ["reached"]
      expect(verdicts["hog"]).to eq ["not measured"]
    end

    it "says what was not reached" do
      slow = result("hello", [turn("tidegate", 1, cpu: 20.0, all: sample(599)), turn("puma8:5", 1, cpu: 80.0, all: sample(100))])
      bar = described_class.new({ "hello" => slow })
      expect(bar.rows.first(2).map(&:verdict)).to eq ["not reached", "not reached"]
      expect(bar.to_s).to match(%r{hello\s+requests/s\s+>= 6 x\s+5\.99 \(5\.99-5\.99\)\s+puma8:5\s+not reached})
    end

    it "has goals only for workloads and numbers that there are" do
      described_class::GOALS.each do |goal|
        clients = Comparison::Workload.find(goal.workload).clients.to_h { |client| [client["name"], sample(1)] }
        expect { turn("tidegate", 1, clients).value(goal.number) }.not_to raise_error
      end
    end
  end
end
