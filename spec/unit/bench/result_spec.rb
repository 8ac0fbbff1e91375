# frozen_string_literal: true

require_relative "../../../bench/comparison/alone"
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
  def turn(server, round, samples = nil, cpu: 10.0, all: nil, **more)
    Comparison::Turn.new(server:, round:, cpu:, pss: 20.0, peak: 30.0, switches: 1.0, voluntary: 0.75, samples: samples || { "all" => all }, **more)
  end

  # The server compared with is puma8, which is best with one thread in p99 and with five in all else.
  def contestants(names = %w[tidegate puma8])
    Comparison::Contestants.new(names, baseline: "puma8").tap do |contestants|
      contestants.found["puma8"] = Comparison::Found.new({ 1 => { "all.rate" => 50 }, 5 => { "all.rate" => 100 } }, Hash.new { |_, number| number.to_s.end_with?("p99") ? 1 : 5 })
    end
  end

  def result(name, turns, **more) = Comparison::Result.new(Comparison::Workload.find(name), turns, contestants:, **more)

  # What the app takes alone: microseconds of CPU by the kind of request.
  def alone(cpu, pss: 15.0, peak: 16.0)
    requests = cpu.map { |name, number| { "name" => name, "cpu" => number, "length" => number / 1000, "answer" => { "path" => "/" } } }
    Comparison::Alone.new({ "requests" => requests, "pss" => pss, "peak" => peak })
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
    expect(row.split).to eq %w[tidegate 650 0.50 1.00 1.00 10.0 1.00 0.75 20.0 30.0 3.2 2 6.50 0.12 0.50 1.00]
    expect(lines).to include("left out: unicorn: unicorn is not here")
  end

  # The core takes 4 us, hyper 3, the app 5.
  let(:limited) do
    result("hello", [turn("tidegate", 1, cpu: 18.0, all: sample(60)), turn("tidegate:1", 1, cpu: 12.0, all: sample(80)), turn("core", 1, cpu: 4.0, all: sample(200)),
                     turn("hyper", 1, cpu: 3.0, all: sample(300)), turn("puma8:5", 1, cpu: 90.0, all: sample(10))], alone: alone({ "all" => 5.0 }))
  end

  it "has a column for the distance to what is possible" do
    lines = Comparison::Summary.new(limited).to_s.lines(chomp: true)
    columns = lines.find { |line| line.include?("req/s") }.split(/\s{2,}/)
    expect(columns.last(3)).to eq %w[CPU/core CPU/hyper CPU/possible]
    expect(lines.find { |line| line.start_with?("tidegate ") }.split.last(3)).to eq %w[4.50 6.00 2.00]
    expect(lines.find { |line| line.start_with?("core ") }.split.last(3)).to eq %w[1.00 1.33 -]
    expect(lines).to include("the app alone: 5.0 us of CPU a call, PSS 15.0 MiB")
  end

  it "puts Tidegate's defaults beside one thread" do
    expect(Comparison::Summary.new(limited).to_s.lines.last)
      .to eq "tidegate : tidegate:1: rate 0.75, CPU 1.50, p99 1.00, context switches 1.00, PSS 1.00"
    expect(Comparison::Summary.new(hello).to_s).not_to include("tidegate : ")
  end

  it "takes what is possible for each kind of request as often as it came" do
    mixed = result("mixed", [turn("tidegate", 1, { "cpu" => sample(30), "sleep" => sample(10) }, cpu: 1600.0), turn("core", 1, { "cpu" => sample(1) }, cpu: 50.0)],
                   alone: alone({ "cpu" => 2000.0, "sleep" => 200.0 }))
    expect(mixed.possible("tidegate")).to eq(1 => 50.0 + 1550.0)
    expect(mixed.to_possible("tidegate").median).to be_within(0.001).of(1.0)
  end

  it "has the memory that is left when the load has gone" do
    expect(turn("tidegate", 1, all: sample(1), fresh: 10.0, settled: 14.0).value("left")).to eq 0.2
    expect(turn("tidegate", 1, all: sample(1), fresh: 10.0, settled: 9.0).value("left")).to eq 0.0
    expect(turn("tidegate", 1, all: sample(1), fresh: 10.0).value("left")).to be_nil
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
    expect(data[:servers]["tidegate"][:ratios]["all.rate"])
      .to eq(to: "puma8:5", median: 6.5, least: 6.0, most: 7.0,
             others: { "puma8:5" => { median: 6.5, least: 6.0, most: 7.0 }, "puma8:1" => { median: 13.0, least: 12.0, most: 14.0 } })
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

  describe Comparison::Name do
    def parse(text) = described_class.parse(text).to_a

    it "has a server, a thread count and a path" do
      expect(parse("puma8")).to eq ["puma8", nil, nil]
      expect(parse("tidegate:0:4000")).to eq ["tidegate", "0:4000", nil]
      expect(parse("agoo:4=/opt/a:b")).to eq ["agoo", "4", "/opt/a:b"]
      expect(parse("haproxy+puma8:5")).to eq ["haproxy+puma8", "5", nil]
      expect(parse("mine=run -p {port}")).to eq ["mine=run -p {port}", nil, nil]
    end

    it "knows the servers that there are" do
      names = %w[tidegate tidegate-tied:5 core hyper puma puma9:1 haproxy+puma8 falcon=/opt agoo mine=run\ {port}]
      expect(names.map { |name| described_class.parse(name) }).to all(be_known)
      expect(described_class.parse("nginx")).not_to be_known
    end
  end

  describe Comparison::Contestants do
    # How a server would be started, without any that is here.
    before do
      allow(Rig::Servers).to receive(:find) { |name, **more| Rig::Kind.new(name, [more[:threads].to_s, more[:path].to_s], nil, {}) }
    end

    def made(names, baseline: names.last, **more) = described_class.new(names, baseline:, **more)

    def threads(contestants) = contestants.to_a.to_h { |one| [one.name, one.kind.command.first] }

    it "searches for the server that is compared with and for each rival that has threads, unless they are set" do
      searched = ->(*names, **more) { made(names, **more).searched.map(&:label) }
      expect(searched.call("tidegate", "puma", "puma8", "agoo", "falcon", "iodine", baseline: "puma8")).to eq %w[puma8 agoo iodine]
      expect(searched.call("tidegate", "puma8", threads: 5)).to eq []
      expect(searched.call("tidegate", "puma8:16")).to eq []
      expect(searched.call("tidegate")).to eq []
    end

    it "takes part with all counts that are best in something, and compares with the best in each number" do
      contestants = made(%w[tidegate agoo=/opt puma puma8])
      best_by = %w[all.rate all.p99]
      numbers = { "puma8:1" => [10, 1.0], "puma8:5" => [30, 9.0], "agoo:1" => [99, 2.0], "agoo:5" => [50, 3.0] }
      contestants.searched.each do |name|
        contestants.search(name, [1, 5], best_by) do |one|
          rate, p99 = numbers.fetch(one.name)
          turn(one.name, 0, all: sample(rate, p99))
        end
      end

      expect(threads(contestants)).to eq("tidegate" => "", "agoo:1" => "1", "puma:5" => "5", "puma8:5" => "5", "puma8:1" => "1")
      expect([contestants.baseline_for("all.rate"), contestants.baseline_for("all.p99")]).to eq %w[puma8:5 puma8:1]
      expect(contestants.contestant_of("agoo", "cpu")).to eq "agoo:1"
      expect(contestants.to_a.find { |one| one.name == "agoo:1" }.kind.command.last).to eq "/opt"
    end

    it "compares with the fixed count where there was no search" do
      expect(made(%w[tidegate puma8], threads: 3).baseline_for("cpu")).to eq "puma8:3"
      expect(made(%w[tidegate puma8:16]).baseline_for("cpu")).to eq "puma8:16"
    end

    it "gives Tidegate its defaults, what its name says, or what the workload needs" do
      expect(threads(made(%w[tidegate tidegate:1], tidegate: nil))).to eq("tidegate" => "", "tidegate:1" => "1")
      expect(threads(made(%w[tidegate tidegate:0:50], tidegate: "0:4000"))).to eq("tidegate" => "0:4000", "tidegate:0:50" => "0:50")
    end

    it "leaves out a server that is not here, in a search too, and remembers why" do
      allow(Rig::Servers).to receive(:find).and_raise(Rig::Missing, "agoo is not here")
      contestants = made(%w[unicorn agoo])
      contestants.searched.each { |name| contestants.search(name, [1], ["all.rate"]) { raise "is not tried" } }
      expect(contestants.to_a).to eq []
      expect(contestants.missing).to eq("agoo" => "agoo is not here", "unicorn" => "agoo is not here")
    end

    it "leaves out the limits where they cannot be measured" do
      expect(made(%w[core tidegate]).to_a.map(&:name)).to eq ["tidegate"]
      limit = Comparison::Limit.new("/limit").for(Comparison::Workload.find("sleep"), alone({ "all" => 1.0 }))
      kinds = made(%w[core hyper tidegate], limits: limit, tidegate: "0:9").to_a.first(2).map { |one| one.kind.command }
      expect(kinds.map { |command| command.values_at(0, 1, 2, 4) }).to eq [["/limit", "core", "tcp://{host}:{port}", "0:9"], ["/limit", "hyper", "tcp://{host}:{port}", nil]]
      expect(JSON.parse(File.read(kinds.first[3]))).to eq [{ "path" => "/", "sleep_ms" => 10 }]
    end
  end

  describe Comparison::Floor do
    def floor(name, cpu, turns: [turn("tidegate", 1, all: sample(1))], **more) = described_class.new(result(name, turns, alone: alone(cpu), **more))

    it "lets no server be quicker than one Ruby computes, the clients wait, or hyper is" do
      expect(floor("cpu", { "all" => 1000.0 }).of("all.rate")).to eq 1000
      expect(floor("cpu", { "all" => 1000.0 }, processes: 2).of("all.rate")).to eq 2000
      expect(floor("sleep", { "all" => 50.0 }).of("all.rate")).to eq 3200
      hyper = [turn("hyper", 1, all: sample(40_000))]
      expect(floor("hello", { "all" => 5.0 }, turns: hyper).of("all.rate")).to eq 40_000
      expect(floor("mixed-open", { "cpu" => 2000.0, "sleep" => 100.0 }).of("cpu.rate")).to eq 340
      expect(floor("balance-sleep", { "small" => 2000.0, "slow" => 100.0 }).of("slow.rate")).to eq 12.5
    end

    it "lets connections that ask at once wait for each other, but not those that ask by the clock" do
      expect(floor("cpu", { "all" => 1000.0 }).of("all.p99")).to eq 32
      expect(floor("mixed", { "cpu" => 2000.0, "sleep" => 100.0 }).of("cpu.p99")).to eq 16
      expect(floor("mixed", { "cpu" => 2000.0, "sleep" => 100.0 }).of("sleep.p99")).to be_within(0.001).of(50.1)
      expect(floor("open", { "all" => 20.0 }).of("all.p99")).to be_within(0.0001).of(0.02)
    end

    it "has the CPU of the core and the app, and the memory of a Ruby with the app" do
      turns = [turn("tidegate", 1, cpu: 40.0, all: sample(1)), turn("core", 1, cpu: 9.0, all: sample(1), idle_kib: 3.5)]
      floor = floor("hello", { "all" => 5.0 }, turns:)
      expect([floor.of("cpu"), floor.of("pss"), floor.of("peak"), floor.of("idle_kib")]).to eq [14.0, 15.0, 16.0, 3.5]
      expect(floor("hello", { "all" => 5.0 }).of("cpu")).to eq 5.0
    end

    it "knows nothing where nothing was measured" do
      unknown = described_class.new(result("hello", [turn("tidegate", 1, all: sample(1))]))
      expect(%w[cpu pss all.p99 all.rate voluntary].map { |number| unknown.of(number) }).to all(be_nil)
    end
  end

  describe Comparison::Bar do
    it "says what was reached, by the median, and what was not measured" do
      verdicts = described_class.new({ "hello" => hello }).rows.group_by { |row| row.goal.workload }
                                .transform_values { |rows| rows.map(&:verdict).uniq }
      expect(verdicts["hello"]).to eq ["reached", "not measured"]
      expect(verdicts["hog"]).to eq ["not measured"]
    end

    it "says what was not reached" do
      slow = result("hello", [turn("tidegate", 1, cpu: 20.0, all: sample(599)), turn("puma8:5", 1, cpu: 80.0, all: sample(100))])
      bar = described_class.new({ "hello" => slow })
      expect(bar.rows.first(2).map(&:verdict)).to eq ["not reached", "not reached"]
      expect(bar.to_s).to match(%r{hello\s+requests/s\s+>= 6 x\s+5\.99 \(5\.99-5\.99\)\s+-\s+puma8:5\s+not reached})
    end

    it "says what no server could reach, from the app alone and the number of clients" do
      cpu = result("cpu", [turn("tidegate", 1, all: sample(900, 40.0)), turn("puma8:5", 1, all: sample(750, 60.0)), turn("puma8:1", 1, all: sample(700, 50.0))],
                   alone: alone({ "all" => 1000.0 }))
      rate, p99 = described_class.new({ "cpu" => cpu }).rows.select { |row| row.goal.workload == "cpu" }
      expect(rate.floor).to be_within(0.001).of(1000.0 / 750)
      expect(rate.verdict).to eq "not reached, nor can be"
      expect(p99.floor).to be_within(0.001).of(32.0 / 50)
      expect(described_class.new({ "cpu" => cpu }).to_s).to match(/cpu\s+p99\s+<= 0.65 x\s+0.800 \S+\s+0.64 x\s+puma8:1\s+not reached$/)
    end

    it "compares with the server that a goal names, and with what is possible" do
      rows = described_class.new({ "hello" => limited }).rows.select { |row| row.goal.workload == "hello" }
      possible = rows.find { |row| row.goal.to == :possible }
      expect([possible.spread.median, possible.floor, possible.compared_with]).to eq [2.0, 1.0, "core + the app alone"]
      one = rows.find { |row| row.goal.to == "tidegate:1" }
      expect([one.spread.median, one.compared_with, one.verdict]).to eq [1.5, "tidegate:1", "not reached"]
      expect(rows.find { |row| row.goal.to == "tidegate:5" }.verdict).to eq "not measured"
    end

    it "has goals only for workloads and numbers that there are" do
      described_class::GOALS.each do |goal|
        clients = Comparison::Workload.find(goal.workload).kinds.to_h { |kind| [kind, sample(1)] }
        expect { turn("tidegate", 1, clients).value(goal.number) }.not_to raise_error
      end
    end
  end
end
