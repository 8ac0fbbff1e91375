# frozen_string_literal: true

require "json"

RSpec.describe Tidegate::Control::Output do
  def done(name, answer) = described_class.done(name, JSON.generate(answer))

  it "has the answers of all workers of a cluster, and of those that gave none the reason" do
    answer = { workers: [{ index: 0, pid: 7, result: [{ name: "main", status: "run", backtrace: %w[a b], request: { method: "GET", path: "/x" } }] }, { index: 1, pid: 8, error: "stuck" }] }
    expect(done("thread-backtraces", answer)).to eq("Worker 0 (process 7)\nThread main (run) serves GET /x\n  a\n  b\n\nWorker 1 (process 8)\nno answer: stuck")
    expect(described_class.partial?("thread-backtraces", JSON.generate(answer))).to be(true)
    expect(done("gc", { workers: [{ index: 0, pid: 7, result: { status: "ok" } }] })).to eq("Worker 0 (process 7)\nRuby's garbage collector has run")
    expect(described_class.partial?("gc", '{"status":"ok"}')).to be(false)
  end

  it "takes the numbers of a cluster for what they are" do
    expect(JSON.parse(done("stats", { workers: 2, worker_status: [] }))).to eq("workers" => 2, "worker_status" => [])
  end

  it "prefers the server's own sentence" do
    expect(done("restart", { status: "ok", message: "booting" })).to eq("booting")
    expect(done("restart", { status: "ok" })).to eq("restart: done")
  end

  it "says what stands in the way" do
    answer = ->(status, body) { Tidegate::Control::Client::Answer.new(status:, body:) }
    expect([answer.(403, "no token was set\n"), answer.(404, '{"error":"refork not available"}'), answer.(504, '{"error":"stuck"}'), answer.(500, "")]
      .map { |each| described_class.failure("refork", each) })
      .to eq(["refork was refused: no token was set", "refork is not possible on this server: refork not available", "refork failed (504): stuck",
              "refork failed (500): "])
  end
end
