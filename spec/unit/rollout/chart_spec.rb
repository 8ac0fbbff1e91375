# frozen_string_literal: true

require "rexml/document"
require_relative "../../../bench/rollout/chart"
require_relative "../../../bench/rollout/client"

RSpec.describe Rollout::Chart do
  # What Report#to_h says of a result with a TERM at 100 s; the block adds outcomes by their seconds from it.
  def result(server = "tidegate", lag: 2.0)
    tally = Rollout::Tally.new
    [[100.0, "lag"], [100.0 + lag, "told"], [103.5, "one left"], [104.0, "steady"]].each { |at, phase| tally.mark(phase, at:) }
    yield ->(seconds, failure = nil) { tally.add(Rollout::Client::Outcome.new("GET", failure, 100.0 + seconds - 0.01, 100.0 + seconds)) }
    { server:, requests: tally.total, failed: tally.failed, terms: tally.terms, spans: tally.spans.map(&:to_h),
      timeline: tally.timeline.map(&:to_h) }
  end

  # Thirty requests a second from one second before until five after, of which those fail for which the block is true.
  def steady(server = "tidegate")
    result(server) { |add| (-30...150).each { |n| add.call(n / 30.0 + 0.01, (yield(n / 30.0) ? "refused" : nil)) } }
  end

  def svg(*results) = REXML::Document.new(described_class.new(results).to_svg)

  def rects(document, name) = REXML::XPath.match(document, "//rect[@class='#{name}']")

  def texts(document) = REXML::XPath.match(document, "//text").map(&:text)

  def number(element, name) = Float(element.attributes[name])

  it "is well-formed, says what it is, and has no failure where none was" do
    document = svg(steady { false })

    expect(document.root.name).to eq "svg"
    expect(REXML::XPath.first(document, "//desc").text).to eq "tidegate: 0 of 180 requests failed."
    expect(rects(document, "failed")).to be_empty
    expect(rects(document, "ok").size).to eq 60
    expect(texts(document)).to include("TERM", "+1", "-1", "per 100 ms", "seconds from the TERM to a pod", "0 of 180 requests failed")
  end

  it "has a bar of failures where they were" do
    document = svg(steady { |seconds| seconds.between?(0, 1.999) })
    term = number(REXML::XPath.first(document, "//line[@class='term']"), "x1")
    failed = rects(document, "failed")

    expect(failed.size).to eq 20
    expect(failed.map { |rect| number(rect, "x") }.min).to eq term
    expect(rects(document, "ok").size).to eq 40
  end

  it "shows a single failure among very many" do
    one = result { |add| 5000.times { add.call(1.05) } && add.call(1.05, "reset") }
    bar, = rects(svg(one), "failed")

    expect(number(bar, "height")).to be >= described_class::Panel::VISIBLE
  end

  it "keeps the bars inside of the plot" do
    document = svg(steady { |seconds| seconds > 3 }, result("puma") { |add| 777.times { add.call(0.55) } })
    view = document.root.attributes["viewBox"].split.map(&:to_i)

    (rects(document, "ok") + rects(document, "failed")).each do |bar|
      expect(number(bar, "x")).to be_between(described_class::Panel::LEFT, described_class::Panel::RIGHT)
      expect(number(bar, "height")).to be_between(0, described_class::Panel::PLOT)
      expect(number(bar, "y") + number(bar, "height")).to be < view.last
    end
  end

  it "shades the phases" do
    document = svg(steady { false })
    lag, told, gone = %w[lag told gone].map { |name| rects(document, "phase-#{name}").first }
    second = number(lag, "width") / 2

    expect(number(told, "x")).to be_within(0.1).of(number(lag, "x") + number(lag, "width"))
    expect(number(told, "width")).to be_within(0.1).of(second * 1.5)
    expect(number(gone, "width")).to be_within(0.1).of(second * 0.5)
    expect(texts(document)).to include(*described_class::Style::WORDS.values)
  end

  it "puts results one above the other on the same seconds" do
    document = svg(steady { false }, steady("puma8") { |seconds| seconds.between?(0, 2) })
    terms = REXML::XPath.match(document, "//line[@class='term']")

    expect(terms.map { |line| line.attributes["x1"] }.uniq.size).to eq 1
    expect(terms.map { |line| line.attributes["y1"] }.uniq.size).to eq 2
    expect(texts(document)).to include("tidegate", "puma8")
  end

  it "draws the same from what was JSON between" do
    one = steady { |seconds| seconds > 4 }

    expect(described_class.new(JSON.parse(JSON.generate(one))).to_svg).to eq described_class.new(one).to_svg
  end

  it "escapes what others named" do
    expect(texts(svg(steady("<puma & co>") { false }))).to include("<puma & co>")
  end

  it "can be drawn of a run without requests" do
    expect(svg(result { nil }).root.name).to eq "svg"
  end

  it "has colours for a light and for a dark page" do
    style = REXML::XPath.first(svg(steady { false }), "//style").text
    light, dark = style.split("@media (prefers-color-scheme: dark)")

    described_class::Style::COLOURS.each_value { |pair| expect([light, dark]).to match [include(pair[0]), include(pair[1])] }
  end
end
