# frozen_string_literal: true

require "json"

RSpec.describe Tidegate::Control::Table do
  let(:plan) { { drain_delay: 5.0, shutdown_timeout: 23.0, budget: 28.0, drain_until_quiet: false } }

  def numbers(at, stats, metrics: "", status: {})
    status = { phase: "ready", in_flight: 3, connections: 9, plan:, **status }
    Tidegate::Control::Numbers.read(at:, stats: JSON.generate(stats), status: JSON.generate(status), metrics:)
  end

  def single(at, requests, **)
    numbers(at, { started_at: "x", backlog: 2, running: 4, busy_threads: 4, max_threads: 8, requests_count: requests,
                  versions: { tidegate: "1.2.3" }, tidegate: { phase: "ready", in_flight: 3, connections: 9 } }, **)
  end

  def worker(index, pid, requests, **more)
    { index:, pid:, phase: 1, booted: true, last_checkin: "x",
      last_status: { backlog: 1, running: 2, busy_threads: 2, max_threads: 4, requests_count: requests, tidegate: { in_flight: 2, connections: 5 } }, **more }
  end

  def cluster(at, *workers, **) = numbers(at, { workers: workers.size, worker_status: workers, versions: { tidegate: "1.2.3" } }, **)

  # As many requests that are over.
  def over(count) = "tidegate_requests_total{method=\"get\",status=\"2xx\"} #{count}\ntidegate_requests_total{method=\"get\",status=\"5xx\"} 1\n"

  def histogram(name, counts) = counts.map { |bound, count| "#{name}_bucket{le=\"#{bound}\"} #{count}\n" }.join

  def lines(now, before = nil, **) = described_class.new(now, before, url: "unix:///run/admin.sock").lines(**)

  it "shows a single process, without the columns that it has nothing for" do
    memory = "tidegate_resident_memory_bytes 41943040\n"
    expect(lines(single(12.0, 300, metrics: memory + over(290)), single(10.0, 100, metrics: over(90)))).to eq([
      "tidegate 1.2.3   ready   unix:///run/admin.sock",
      "on TERM: 5.0 s of drain delay, then 23.0 s to finish",
      "requests 100/s   in flight 3   queue 2   threads busy 4/8   connections 9",
      "queue wait p50 - p99 -   GVL wait p50 - p99 -   app time p50 - p99 -",
      "",
      "STATE  BUSY  QUEUE  IN FLIGHT  CONNS  REQ/S  MEMORY",
      "ready   4/8      2          3      9    100     40M"
    ])
  end

  it "shows a cluster by worker, in their order, and what all have done" do
    before = cluster(0.0, worker(0, 71, 100), worker(1, 72, 50), metrics: over(100))
    now = cluster(2.0, worker(1, 80, 30, state: "retiring"), worker(0, 71, 120),
                  metrics: "tidegate_resident_memory_bytes{worker=\"0\"} 5242880\ntidegate_resident_memory_bytes{worker=\"1\"} 1e9\n#{over(150)}")
    expect(lines(now, before).drop(5)).to eq([
      "WORKER  PID  STATE     PHASE  BUSY  QUEUE  IN FLIGHT  CONNS  REQ/S  MEMORY",
      "     0   71  serving       1   2/4      1          2      5     10    5.0M",
      "     1   80  retiring      1   2/4      1          2      5     15    954M"
    ])
    expect(lines(now, before)).to include(/\Atidegate 1\.2\.3   ready   2 workers   unix:/, %r{\Arequests 25/s .* queue 2   threads busy 4/8 })
  end

  it "has the quantiles of what came between the two looks" do
    name = "tidegate_queue_wait_seconds"
    before = single(0.0, 0, metrics: histogram(name, "0.001" => 100, "0.01" => 100, "+Inf" => 100))
    now = single(1.0, 100, metrics: histogram(name, "0.001" => 100, "0.01" => 190, "+Inf" => 200))
    expect(lines(now, before)).to include(/\Aqueue wait p50 6\.0 ms p99 10 ms   GVL wait p50 - p99 -/)
  end

  it "tells how long a phase of the drain still lasts" do
    expect(lines(single(0.0, 0, status: { phase: "draining", seconds_left: 3.24 }))[1]).to eq("draining, 3.2 s left")
  end

  it "keeps to the size of the terminal, and says how many workers there is no room for" do
    many = cluster(0.0, *(0...20).map { |index| worker(index, 100 + index, 0) })
    shown = lines(many, width: 30, height: 12)
    expect(shown.map(&:length)).to all(be <= 30)
    expect(shown.size).to eq(12)
    expect(shown.last).to eq("and 15 more")
  end

  it "lets no control character of the server through to the terminal" do
    evil = single(0.0, 0, status: { phase: "re\e[2Jady" })
    expect(lines(evil).join).to include("re\\x1b[2Jady").and match(/\A[^\e]*\z/)
  end

  it "shows no rate for a worker that has begun anew, and none below zero" do
    expect(lines(single(1.0, 5, metrics: over(5)), single(0.0, 100, metrics: over(100)))[2]).to start_with("requests 0/s")
    expect(lines(single(1.0, 5))[2]).to start_with("requests -/s")
  end

  describe ".quantile" do
    it "is the last bound that there is for what lies beyond it" do
      expect(described_class.quantile(0.99, { 0.5 => 1, 1.0 => 1, Float::INFINITY => 10 }, {})).to eq(1.0)
    end

    it "is nil where nothing came" do
      same = { 0.5 => 1, Float::INFINITY => 3 }
      expect(described_class.quantile(0.5, same, same)).to be_nil
      expect(described_class.quantile(0.5, {}, {})).to be_nil
    end
  end
end

RSpec.describe Tidegate::Control::Numbers do
  it "adds up a histogram's series of all workers" do
    metrics = "tidegate_x_seconds_bucket{worker=\"0\",le=\"0.5\"} 2\ntidegate_x_seconds_bucket{worker=\"1\",le=\"0.5\"} 3\n"
    expect(described_class.read(at: 0, stats: "{}", status: "{}", metrics:).histograms["tidegate_x_seconds"]).to eq(0.5 => 5)
  end

  it "is refused where the answers are not those of Tidegate" do
    ["<html>", "[]"].each do |text|
      expect { described_class.read(at: 0, stats: text, status: "{}", metrics: "") }.to raise_error(Tidegate::Control::Failure, /not those of Tidegate/)
    end
  end
end
