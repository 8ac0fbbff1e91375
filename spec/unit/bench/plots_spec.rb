# frozen_string_literal: true

require "rexml/document"
require "tmpdir"
require_relative "../../../bench/comparison/plots"
require_relative "../../../bench/comparison/rounds"
require_relative "../../../bench/comparison/settings"

RSpec.describe Comparison::Plots do
  around { |example| Dir.mktmpdir { |dir| @dir = dir and example.run } }

  # Servers that are not started: their CPU by their names, and their latency by the rate.
  before do
    allow(Rig::Servers).to receive(:find) { |name, **| Rig::Kind.new(name, [], nil, {}) }
    stage = instance_double(Comparison::Stage)
    allow(Comparison::Stage).to receive(:new).and_return(stage)
    # The machine is slow at times, but not in each round.
    slow = [1.0, 1.7].cycle
    allow(stage).to receive(:turn) { |contestant, *| Comparison::Turn.new(cpu: cpus.fetch(contestant.name) * (contestant.name == "puma8:5" ? slow.next : 1)) }
    allow(stage).to receive(:with) do |kind, &block|
      pss = [10.0, 12.0, 20.0].each
      block.call(instance_double(Rig::Server, kind:, address: "127.0.0.1:1"), instance_double(Comparison::Usage).tap { |usage| allow(usage).to receive(:pss) { pss.next } }, 9.0)
    end
  end

  let(:cpus) { { "tidegate:1" => 30.0, "tidegate:5" => 33.0, "tidegate" => 36.0, "puma8:1" => 80.0, "puma8:5" => 120.0, "falcon" => 140.0 } }
  let(:contestants) { Comparison::Contestants.new(%w[tidegate tidegate:1 puma8 falcon], baseline: "puma8", threads: 5) }
  # Answers as many as it is asked for, up to 500.
  let(:generator) do
    instance_double(Comparison::Generator).tap do |generator|
      allow(generator).to receive(:hold) { |*, &block| block.call }
      allow(generator).to receive(:measure) do |_, clients, **|
        clients.to_h { |client| [client["name"], Comparison::Sample.new(rate: [client["rate"], 500.0].min, p50: 1.0, p99: client["rate"] / 100, errors: 0)] }
      end
    end
  end

  def draw(name, *options, result: nil)
    settings = Comparison::Settings.parse([*options, "--out", @dir, "--counts", "1,5"])
    plots = described_class.new(settings, generator:) { |_news| nil }
    files = plots.draw(Comparison::Workload.find(name), result, contestants)
    [plots.measured, files]
  end

  def names(file) = REXML::XPath.match(REXML::Document.new(File.read(file)), "//text").map(&:text)

  it "draws CPU against threads, and what has no number of threads as a line across" do
    measured, files = draw("hello", "--plot", "threads")
    expect(files).to eq [File.join(@dir, "threads-hello.svg")]
    expect(measured["threads-hello"]).to eq("tidegate" => [[1, 30.0], [5, 33.0]], "puma8" => [[1, 80.0], [5, 120.0]], "falcon" => [[1, 140.0], [5, 140.0]],
                                            "tidegate's defaults" => [[1, 36.0], [5, 36.0]])
    expect(names(files.first)).to include("hello: CPU per request against threads", "threads", "CPU per request, us", "falcon", "tidegate's defaults")
  end

  it "draws the latency of each kind of client up to the load that the server keeps up with, all with the same mix" do
    rates = { ["tidegate", "cpu.rate"] => 400.0, ["puma8:5", "cpu.rate"] => 800.0, ["tidegate", "sleep.rate"] => 0.0, ["puma8:5", "sleep.rate"] => 50.0 }
    result = instance_double(Comparison::Result, servers: %w[tidegate puma8:5], clients: %w[cpu sleep])
    allow(result).to receive(:number) { |server, number| Comparison::Statistics.spread([rates.fetch([server, number])]) }
    measured, files = draw("mixed", "--plot", "latency", result:)

    expect(files.map { |file| File.basename(file) }).to eq %w[latency-mixed-cpu.svg latency-mixed-sleep.svg]
    loads = measured["latency-mixed-cpu"].fetch("tidegate")
    expect(loads.map { |points| points["cpu"].offered }).to eq [80.0, 160.0, 240.0, 320.0, 400.0, 480.0, 560.0]
    expect(loads.map { |points| points["sleep"].offered }.first(2)).to eq [5.0, 10.0]
    expect(names(files.last)).to include("mixed, sleep: latency against load", "tidegate p99", "puma8:5 p50")
  end

  it "draws memory once, of as many connections as there may be open files" do
    allow(Process).to receive(:getrlimit).with(:NOFILE).and_return([1500, 1500])
    measured, files = draw("mixed", "--plot", "memory")
    expect(files).to eq [File.join(@dir, "memory.svg")]
    expect(measured["memory"]["tidegate"]).to eq [[0, 10.0], [100, 12.0], [1000, 20.0]]
  end

  it "draws nothing that was not asked for, and no load of a workload that has its own" do
    expect(draw("hog", "--plot", "latency")).to eq [{}, []]
    expect(draw("hello")).to eq [{}, []]
  end
end
