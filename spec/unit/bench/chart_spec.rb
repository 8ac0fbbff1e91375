# frozen_string_literal: true

require "rexml/document"
require_relative "../../../bench/comparison/chart"
require_relative "../../../bench/comparison/sweep"

RSpec.describe Comparison::Chart do
  def series(name, points, **more) = described_class::Series.new(name:, points:, group: name.split.first, **more)

  def places(line) = line.attributes["points"].split.map { |place| place.split(",").map { |number| Float(number) } }

  let(:shown) do
    [series("tidegate p99", [[100, 1.0], [1000, 1.5], [5000, 40]]), series("tidegate p50", [[100, 0.5], [1000, 0.6], [5000, 1]], dashed: true),
     series("a<puma>&co p99", [[100, 2], [800, 900]])]
  end
  let(:document) { REXML::Document.new(described_class.new("hello: latency", shown, x: "requests per second", y: "latency, ms").to_svg) }

  def elements(path) = REXML::XPath.match(document, path)

  it "is well-formed, and names what it shows, each line beside its end" do
    expect(document.root.name).to eq "svg"
    expect(elements("//text").map(&:text)).to include("hello: latency", "a<puma>&co p99", "tidegate p50", "latency, ms", "requests per second")
  end

  it "has a colour for each server on a light page and on a dark one" do
    style = elements("//style").first.text
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    expect(light.scan(/\.line\d \{ stroke: #\h{6}/).size).to eq 2
    expect(dark.scan(/\.line\d \{ stroke: #\h{6}/).size).to eq 2
    expect(light[/\.line0.*/]).not_to eq dark[/\.line0.*/]
  end

  it "has a line for each series, inside of the picture, and those of one server in one colour" do
    lines = elements("//polyline[not(contains(@class, 'leader'))]")
    expect(lines.map { |line| line.attributes["class"] }).to eq ["line0", "line0 dashed", "line1"]
    lines.flat_map { |line| places(line) }.each do |x, y|
      expect(x).to be_between(described_class::LEFT, described_class::RIGHT)
      expect(y).to be_between(described_class::TOP, described_class::BOTTOM)
    end
  end

  it "puts more further right and higher" do
    across, down = places(elements("//polyline[@class='line0']").first).transpose
    expect(across.each_cons(2)).to all(satisfy { |left, right| left < right })
    expect(down.each_cons(2)).to all(satisfy { |lower, higher| lower > higher })
  end

  it "keeps names apart, in their order, within the picture" do
    expect(described_class.spread([10, 11, 12, 400], least: 56, most: 420, apart: 15)).to eq [56, 71, 86, 400]
    expect(described_class.spread([419, 418, 420], least: 56, most: 420, apart: 15)).to eq [405, 390, 420]
    expect(described_class.spread([100], least: 56, most: 420)).to eq [100]
  end

  it "refuses to draw nothing" do
    expect { described_class.new("none", [], x: "x", y: "y") }.to raise_error(ArgumentError)
    expect { described_class.new("none", [series("a", [])], x: "x", y: "y") }.to raise_error(ArgumentError)
  end

  it "is made of one load only where the clients take what they get" do
    fits = ->(name) { Comparison::Sweep.fits?(Comparison::Workload.find(name)) }
    expect(%w[hello json close post1m mixed sinatra].all?(&fits)).to be true
    expect(%w[hog open idle waiting balance-cpu].any?(&fits)).to be false
  end
end

RSpec.describe Comparison::Axis do
  it "has round numbers, also for one value and for nought" do
    expect(described_class.log_ticks([3, 70])).to eq [2, 5, 10, 20, 50, 100]
    expect(described_class.log_ticks([10]).size).to be >= 2
    expect(described_class.log_ticks([0]).size).to be >= 2
    expect(described_class.linear_ticks([0, 230])).to eq [0, 50, 100, 150, 200, 250]
    expect(described_class.linear_ticks([7])).to eq [0, 1, 2, 3, 4, 5, 6, 7]
    expect(described_class.linear_ticks([0])).to eq [0, 1]
  end

  it "has the values themselves, where these are all that there is" do
    axis = described_class.of("threads", [1, 64, 5, 1], from: 0, to: 60)
    expect(axis.ticks).to eq [1, 5, 64]
    expect([axis.place(1), axis.place(64)]).to eq [0, 60]
    expect(axis.place(8)).to eq 30
  end

  it "places nought on the edge of a logarithmic axis, and in the corner of a linear one" do
    expect(described_class.logarithmic("ms", [0.0, 5, 50], from: 100, to: 0).place(0)).to eq 100
    expect(described_class.linear("MiB", [10, 100], from: 100, to: 0).place(0)).to eq 100
  end

  it "writes large numbers short" do
    expect([0.5, 20, 10_000, 12_500].map { |number| described_class.text(number) }).to eq ["0.5", "20", "10 k", "12.5 k"]
  end
end
