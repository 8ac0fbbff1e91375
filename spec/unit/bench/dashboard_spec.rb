# frozen_string_literal: true

require_relative "../../../bench/dashboard/panels"
require_relative "../../../bench/dashboard/picture"
require_relative "../../../bench/dashboard/prometheus"
require_relative "../../../bench/dashboard/verdict"

# What bin/check-dashboard makes of answers; the answers themselves come from a real Prometheus, and not here.
RSpec.describe Dashboard do
  let(:panels) { Dashboard::Panels.new(series: { namespace: "prod", job: "shop" }, step: 1, interval: 1) }

  def series(*values, **labels)
    { "metric" => labels.transform_keys(&:to_s), "values" => values.each_with_index.map { |value, at| [at, Float(value)] } }
  end

  # A Prometheus that answers all questions with the block, which gets the expression.
  def prometheus(alerts: [], variables: ["prod"], &answer)
    Struct.new(:alerts, :variables, :answer) do
      def ask(*, **) = variables
      def range(expression, **) = answer.call(expression)
    end.new(alerts, variables, answer)
  end

  def faults(statuses: {}, **, &) = Dashboard::Verdict.new(prometheus(**, &), panels, from: 0, to: 10).call(statuses).faults

  it "asks as Grafana does, with the variables in their places and four scrapes to a rate" do
    queries = panels.all.flat_map(&:targets).map(&:expression)

    expect(queries).to all include('namespace="prod", job="shop", pod=~".*"')
    expect(queries.join).not_to include("$")
    expect(queries.grep(/rate\(/)).to all include("[4s]")
    expect(Dashboard::Panels.new(series: { namespace: "a", job: "b" }, step: 30, interval: 5).all[1].targets[0].expression).to include("[35s]")
    expect(panels.variables).to include("pod" => ['tidegate_build_info{namespace="prod", job="shop"}', "pod"])
  end

  it "finds nothing wrong where all have values that can be" do
    labels = %i[status reason state phase pod].to_h { |name| [name, "x"] }
    expect(faults(statuses: { "200" => 6 }) { [series(0.5, 0.5, **labels)] * 6 }).to eq([])
  end

  it "says what is an error, empty, impossible, always 0, without the label of its legend, or not what the clients saw" do
    answers = { "tidegate_queue_depth" => [], "tidegate_threads{" => [series(-1, state: "idle")], "process_open_fds" => [series(1.5, pod: "a")],
                "tidegate_requests_stuck" => [series(0, 0)], "tidegate_workers{" => [series(1)], "tidegate_phase" => nil }
    found = faults(statuses: { "200" => 60 }, variables: []) do |expression|
      name, answer = answers.find { |part, _| expression.include?(part) }
      raise Dashboard::Prometheus::Refused, "parse error" if name && answer.nil?

      answer || [series(0.5, 0.5, status: "2xx", reason: "x", state: "x", pod: "x")]
    end

    expect(found).to include("In flight and queued: queued: no value", "Threads: {{state}}: -1.0 to -1.0", "Descriptors: {{pod}}: 1.5 to 1.5",
                             "Requests that hang: stuck: always 0, on a day that had a reason for more",
                             "Workers: {{state}}: the legend names state, which no series has", "Pods by phase: {{phase}}: parse error",
                             "the annotation {{pod}} drains: parse error", "the variable pod: no value", "Requests: 1, and the clients had 60")
  end

  it "says which alert is broken, looks at nothing, or is silent" do
    alert = ->(name, query, health = "ok") { { "name" => name, "query" => query, "health" => health, "lastError" => "many-to-many" } }
    alerts = [alert.("A", "a > 0"), alert.("B", "b > 0"), alert.("C", "c > 0", "err"), alert.("D", "d - time() < 14 * 86400"),
              alert.("TidegateDescriptors", "quiet > 0.8")]
    there = { "a > 0" => true, "a" => true, "d - time()" => true, "quiet" => true }
    found = faults(alerts:) { |expression| there[expression] || expression.include?("tidegate") ? [series(1)] : [] }

    expect(found.grep(/\A(?:[A-D]|TidegateDescriptors): /))
      .to eq(["B: watches nothing", "B: silent, on a day that had a reason for it", "C: err: many-to-many",
              "D: silent, on a day that had a reason for it"])
  end

  describe Dashboard::PlotPanel do
    def drawn(*lines, unit: "short", stacked: false, drains: [])
      panel = Dashboard::Panels::Panel.new("Bytes & more", "timeseries", 0, 0, 8, 8, unit, nil, stacked, [])
      described_class.new(panel, lines, drains:, from: 0, to: 60, width: 400, height: 200).to_svg
    end

    it "draws a line for each run of values, and no point between two on the way" do
      svg = drawn(["<a>", [[0, 1.0], [1, 2.0], [2, 3.0], [3, Float::NAN], [10, 1.0], [11, 1.0]]])

      expect(svg.scan(/<polyline class="l0" points="([^"]*)"/).flatten.map { |points| points.split.size }).to eq([2, 2])
      expect(svg).to include("Bytes &amp; more", ">&lt;a&gt;<")
    end

    it "puts the lines of a stack on one another" do
      svg = drawn(["a", [[0, 1.0], [1, 1.0]]], ["b", [[0, 1.0], [1, 1.0]]], stacked: true)
      heights = svg.scan(/<polyline class="l\d" points="[\d.]+,([\d.]+)/).flatten.map { |height| Float(height) }
      floor = Float(svg[/<line class="grid" [^>]*y1="([\d.]+)"/, 1])

      expect(floor - heights[1]).to be_within(0.2).of(2 * (floor - heights[0]))
      expect(svg.scan("<polygon").size).to eq(2)
    end

    it "has round numbers at the side, in the panel's unit, and shades drains" do
      expect(drawn(["a", [[0, 3.5 * 1024 * 1024], [1, 0.0]]], unit: "bytes")).to include(">0 B<", ">2 MiB<")
      expect(drawn(["a", [[0, 0.25], [1, 0.1]]], unit: "s")).to include(">100 ms<")
      expect(drawn(["a", [[0, 0.42], [1, 0.1]]], unit: "percentunit")).to include(">20 %<")
      expect(drawn(["a", [[0, 0.0]]], drains: [[10, 10]])).to match(/class="drain" [^>]*width="3"/)
    end
  end
end
