# frozen_string_literal: true

require_relative "../../../bench/rollout/client"
require_relative "../../../bench/rollout/comparison"
require_relative "../../../bench/rollout/settings"

RSpec.describe Rollout::Settings do
  def parse(*arguments) = described_class.parse(arguments)

  let(:tidegate) { Rig::Kind.new("tidegate", [], nil, {}) }
  let(:puma) { Rig::Kind.new("puma", [], nil, {}) }

  it "has a rolling update behind haproxy by default" do
    expect(parse).to have_attributes(server: "tidegate", data_plane: "haproxy", scenario: "rolling", replicas: 2, apart?: false)
  end

  it "takes a preset, which what is given changes, in any order" do
    expect(parse("--lag", "0.5", "--preset", "S1")).to have_attributes(data_plane: "kube-proxy", pods: 3, lag: 0.5, apart?: true)
  end

  it "needs a network of its own for a round trip" do
    expect(parse("--data-plane", "picker", "--rtt", "0.002")).to be_apart
  end

  it "has one replica in the scenarios that are about one" do
    expect(%w[single evict].map { |name| parse("--scenario", name, "--pods", "3").replicas }).to eq([1, 1])
  end

  it "refuses what makes no sense", :aggregate_failures do
    [%w[--pods 0], %w[--pods 1 --scenario scale-down], %w[--rolls 0], %w[--lag -1], %w[--scenario none], %w[--data-plane none],
     %w[--preset S99], %w[--clients ducks], %w[--clients streams],
     %w[--preset S14 --server puma], %w[more]].each do |arguments|
      expect { parse(*arguments) }.to raise_error(OptionParser::ParseError), arguments.join(" ")
    end
  end

  it "probes Tidegate's admin listener, and the app of any other server" do
    expect(parse.for(tidegate).check).to have_attributes(path: "/servingz", admin: true)
    expect(parse("--readiness", "/readyz").for(tidegate).check).to have_attributes(path: "/readyz", admin: true)
    expect(parse("--readiness", "/up").for(tidegate).check).to have_attributes(path: "/up", admin: false)
    expect(parse.for(puma).check).to have_attributes(path: "/", admin: false)
  end

  it "expects exit 0 of Tidegate, and lets other servers die of the TERM" do
    expect(parse.for(tidegate).expected).to eq(["exit 0"])
    expect(parse.for(puma).expected).to include("signal 15")
    expect(parse("--preset", "S10").for(tidegate).expected).to eq(["exit 0", "exit 1"])
  end
end

RSpec.describe Rollout::Presets do
  it "has only settings that are valid, with the control's and with every other server's too", :aggregate_failures do
    described_class::ALL.each do |preset|
      [{}, preset.control].each do |changes|
        settings = Rollout::Settings.with(preset: preset.name, **changes)
        expect { settings.validate }.not_to raise_error, preset.name
        expect(Rollout::DataPlanes::NAMES).to include(settings.data_plane)
        expect(Rollout::Scenario::NAMES).to include(settings.scenario)
      end
    end
  end

  it "changes something for each control" do
    described_class::ALL.each do |preset|
      expect(Rollout::Settings.with(preset: preset.name, **preset.control)).not_to eq(Rollout::Settings.with(preset: preset.name))
    end
  end
end

RSpec.describe Rollout::Comparison do
  # A run's result as far as a cell reads it.
  def result(lost:, violations: [])
    instance_double(Rollout::Result, lost:, unserved: 0, losses: {}, violations:, turns: 1, seconds: 1.5,
                                     tally: instance_double(Rollout::Tally, total: 100))
  end

  def cell(preset, column, **rest)
    Rollout::Comparison::Cell.new(preset: Rollout::Presets.find(preset),
                                  column: Rollout::Comparison::Column.new(name: column), **rest)
  end

  it "expects Tidegate to lose nothing, its control to lose something, and leaves the others open" do
    expect(cell("S1", "tidegate", result: result(lost: 0))).to be_as_expected
    expect(cell("S1", "tidegate", result: result(lost: 1)).as_expected?).to be(false)
    expect(cell("S1", "control", result: result(lost: 1))).to be_as_expected
    expect(cell("S1", "control", result: result(lost: 0)).as_expected?).to be(false)
    expect(cell("S1", "puma8", result: result(lost: 7)).as_expected?).to be_nil
  end

  it "shows failures, pods that ended wrongly, and why a run was not made" do
    ending = Rollout::Kubelet::Ending.new("pod 1", "signal 9", 30.0, 30.0, true, "killed at the end of its grace", [])

    expect(cell("S1", "puma8", result: result(lost: 7, violations: [ending])).to_s).to eq("7/100, 1 x killed")
    expect(cell("S1", "puma8", error: "no nft").to_s).to eq("not run: no nft")
  end

  it "goes on after a run that could not be made, and says why" do
    said = []
    allow(Rollout::Run).to receive(:new).and_raise(Rig::Missing, "nothing is here")
    comparison = described_class.parse(%w[--presets S1,S4 --servers puma --rolls 1]) { |line| said << line }
    comparison.call

    expect(said.size).to eq(8)
    expect(said).to all(include("not run: nothing is here"))
    expect(comparison.to_s.lines.size).to eq(4)
    expect(comparison).not_to be_as_expected
  end
end
