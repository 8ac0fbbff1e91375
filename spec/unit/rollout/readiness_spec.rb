# frozen_string_literal: true

require_relative "../../../bench/rollout/readiness"

RSpec.describe Rollout::Readiness do
  subject(:readiness) { described_class.new(failure_threshold: 3) }

  # Whether the pod is ready after each of the answers.
  def after(*answers)
    answers.map do |answer|
      readiness.record(answer)
      readiness.ready?
    end
  end

  it "is not ready before the first good answer" do
    expect(after(false, false, true)).to eq([false, false, true])
  end

  it "ends with so many bad answers in a row, and not before" do
    expect(after(true, false, false, true, false, false, false)).to eq([true, true, true, true, true, true, false])
  end

  it "says when an answer changes something" do
    expect([true, true, false, false, false, false, true].map { |answer| readiness.record(answer) })
      .to eq([true, false, false, false, true, false, true])
  end
end

RSpec.describe Rollout::Termination do
  def plan(grace:, prestop: 0.0) = described_class.new(deleted_at: 100.0, grace:, prestop:)

  def violation(seconds, outcome: "exit 0", killed: false)
    plan(grace: 30.0).violation(outcome, ended_at: 100.0 + seconds, killed:, expected: ["exit 0"])
  end

  it "sends TERM after the preStop hook and KILL at the end of the grace, which the hook has eaten from" do
    expect(plan(grace: 30.0)).to have_attributes(term_at: 100.0, kill_at: 130.0)
    expect(plan(grace: 30.0, prestop: 10.0)).to have_attributes(term_at: 110.0, kill_at: 130.0)
  end

  it "leaves two seconds after a hook that has eaten all" do
    expect(plan(grace: 10.0, prestop: 9.5)).to have_attributes(term_at: 109.5, kill_at: 111.5)
    expect(plan(grace: 10.0, prestop: 60.0)).to have_attributes(term_at: 110.0, kill_at: 112.0)
  end

  it "finds nothing wrong with an expected outcome up to a second before the end of the grace" do
    expect(violation(3.0)).to be_nil
    expect(violation(29.0)).to be_nil
  end

  it "finds what is wrong" do
    expect(violation(29.5)).to eq("took 29.5 s of a grace of 30 s")
    expect(violation(30.0, outcome: "signal 9", killed: true)).to eq("killed at the end of its grace")
    expect(violation(3.0, outcome: "exit 1")).to eq("exit 1 instead of exit 0")
    expect(violation(-1.0, outcome: "signal 11")).to eq("ended before it was told to: signal 11")
  end
end
