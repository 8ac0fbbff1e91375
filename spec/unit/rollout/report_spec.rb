# frozen_string_literal: true

require_relative "../../../bench/rollout/chart"
require_relative "../../../bench/rollout/client"
require_relative "../../../bench/rollout/report"
require_relative "../../../bench/rollout/run"

RSpec.describe Rollout::Report do
  let(:tally) { Rollout::Tally.new }

  def add(client, failure = nil, at: 10.0, took: 0.02) = tally.add(Rollout::Client::Outcome.new(client, failure, at - took, at))

  def result(requests: 3, counters: { retries: 0 }, violation: nil)
    Rollout::Result.new(settings: Rollout::Settings.with(requests:), tally:, endings: [ending(violation)], counters:, seconds: 5.0,
                        turns: 1)
  end

  def ending(violation)
    Rollout::Kubelet::Ending.new("pod 1", "exit 0", 3.1, 3.1, false, violation, ["first line", "drain: done"])
  end

  def report(**) = described_class.new(result(**))

  before do
    tally.mark("lag", at: 20.0)
    add("GET")
    add("GET", at: 21.0)
    add("POST", at: 22.0)
  end

  it "has a row for each kind of client and a column for each phase" do
    rows = report.to_s.lines.map(&:split)

    expect(rows).to include(%w[clients (failed/requests) steady lag told one left total p50 p99 slowest],
                            ["GET", "0/1", "0/1", "0/0", "0/0", "0/2", "20", "ms", "20", "ms", "20", "ms"],
                            ["all", "0/1", "0/2", "0/0", "0/0", "0/3"])
  end

  it "says how the pods ended and that nothing failed" do
    expect(report.to_s).to include("pod 1: exit 0, 3.1 s after TERM\n  drain: done\nhaproxy: retries=0\n\nno request failed of 3\n")
  end

  it "counts the failures by kind, phase and client, the most frequent first" do
    add("POST", "503", at: 21.0)
    2.times { add("GET", "refused", at: 21.0) }

    expect(report.to_s).to match(/failed     2  refused, lag, GET\nfailed     1  503, lag, POST\n/)
    expect(report.to_s).to end_with("3 requests failed of 6\n")
  end

  it "says when too few requests were made" do
    expect(report(requests: 10).to_s).to end_with("only 3 of 10 requests were made\n")
  end

  it "has a column for a phase that only one scenario has" do
    tally.mark("none left", at: 30.0)
    add("GET", "503", at: 31.0)

    expect(report.to_s).to match(/one left +none left +total/)
  end

  it "says when the load balancer was told later than planned" do
    late = result.tap { |it| it.overshoot = 1.4 }

    expect(described_class.new(late).to_s).to include("told up to 1.4 s later than planned")
    expect(report.to_s).not_to include("later than planned")
  end

  it "can do without the counts of a data plane" do
    expect(report(counters: {}).to_s).not_to include("haproxy: ")
  end

  it "names a pod that ended wrongly" do
    text = report(violation: "killed at the end of its grace").to_s

    expect(text).to include("pod 1: exit 0, 3.1 s after TERM, WRONG: killed at the end of its grace")
    expect(text).to end_with("no request failed of 3; 1 of 1 pods ended wrongly\n")
  end

  it "counts apart what came while the scenario left no pod to serve, but not what was accepted and lost" do
    tally.mark("down", at: 30.0)
    2.times { add("GET", "refused", at: 31.0) }
    add("GET", "truncated", at: 31.0)

    expect(report.to_s).to end_with("1 requests failed of 6; 2 more came while the scenario left no pod to serve\n")
  end

  it "is complete as JSON" do
    add("GET", "reset", at: 21.5)
    json = JSON.parse(report.to_json)

    expect(json).to include("server" => "tidegate", "requests" => 4, "failed" => 1, "passed" => false, "terms" => 1)
    expect(json["settings"]).to include("lag" => 2.0, "pods" => 2)
    expect(json["clients"]["GET"]).to include("requests" => 3, "failed" => 1, "by_phase" => { "steady" => 1, "lag" => 2, "told" => 0, "one left" => 0 })
    expect(json["clients"]["GET"]["p99"]).to be_within(0.001).of(0.02)
    expect(json["failures"]).to eq [{ "client" => "GET", "phase" => "lag", "kind" => "reset", "count" => 1 }]
    expect(json["first_failures"]).to eq [{ "client" => "GET", "phase" => "lag", "kind" => "reset", "at" => 1.5 }]
    expect(json["timeline"].find { |bin| bin["at"] == 1.5 }).to eq("at" => 1.5, "requests" => 1, "failures" => 1)
    expect(json["endings"].first).to include("outcome" => "exit 0", "log" => ["first line", "drain: done"])
  end

  it "is what a picture is drawn from" do
    expect(Rollout::Chart.new(result).to_svg).to include("0 of 3 requests failed")
  end
end
