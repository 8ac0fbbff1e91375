# frozen_string_literal: true

require "rexml/document"
require_relative "../../../bench/comparison/plot"
require_relative "../../../bench/comparison/sweep"

RSpec.describe Comparison::Plot do
  def point(offered, p99) = Comparison::Sweep::Point.new(offered:, rate: offered, p50: p99 / 3.0, p99:, errors: 0)

  def places(line) = line.attributes["points"].split.map { |place| place.split(",").map { |number| Float(number) } }

  let(:points) do
    { "tidegate" => [point(100, 1.0), point(1000, 1.5), point(5000, 40)], "a <puma> & co" => [point(100, 2), point(800, 900)] }
  end
  let(:document) { REXML::Document.new(described_class.new("hello: latency against load", points).to_svg) }

  def elements(path) = REXML::XPath.match(document, path)

  it "is well-formed, and names what it shows" do
    expect(document.root.name).to eq "svg"
    expect(elements("//text").map(&:text)).to include("hello: latency against load", "a <puma> & co p99", "latency, ms",
                                                 "requests per second, by the clock")
  end

  it "has two lines for each server, inside of the plot" do
    lines = elements("//polyline")
    expect(lines.map { |line| line.attributes["class"] }).to eq ["line0 p50", "line0 p99", "line1 p50", "line1 p99"]
    lines.flat_map { |line| places(line) }.each do |x, y|
      expect(x).to be_between(described_class::LEFT, described_class::RIGHT)
      expect(y).to be_between(described_class::TOP, described_class::BOTTOM)
    end
  end

  it "puts more load further right and more latency higher" do
    across, down = places(elements("//polyline[@class='line0 p99']").first).transpose
    expect(across.each_cons(2)).to all(satisfy { |left, right| left < right })
    expect(down.each_cons(2)).to all(satisfy { |lower, higher| lower > higher })
  end

  it "has round numbers on its axes, also for one point and for nought" do
    expect(described_class.ticks([3, 70])).to eq [2, 5, 10, 20, 50, 100]
    expect(described_class.ticks([10]).size).to be >= 2
    expect(described_class.ticks([0]).size).to be >= 2
    expect(described_class.new("one", { "a" => [point(100, 0.0)] }).to_svg).not_to include("NaN")
  end

  it "refuses to draw nothing" do
    expect { described_class.new("none", {}) }.to raise_error(ArgumentError)
    expect { described_class.new("none", { "a" => [] }) }.to raise_error(ArgumentError)
  end

  it "is made only where there is one load" do
    fits = ->(name) { Comparison::Sweep.fits?(Comparison::Workload.find(name)) }
    expect(%w[hello json close post1m].all?(&fits)).to be true
    expect(%w[mixed hog open idle].any?(&fits)).to be false
  end
end
