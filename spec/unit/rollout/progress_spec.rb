# frozen_string_literal: true

require "stringio"
require_relative "../../../bench/rollout/client"
require_relative "../../../bench/rollout/progress"
require_relative "../../../bench/rollout/tally"

RSpec.describe Rollout::Progress do
  let(:tally) { Rollout::Tally.new }

  def progress(out, **) = described_class.new(out, **).tap { |it| it.tally = tally }

  def add(failure = nil) = tally.add(Rollout::Client::Outcome.new("GET", failure, 1.0, 1.1))

  it "says each event with the counts where there is no terminal, and nothing between" do
    out = StringIO.new
    add
    progress(out).during { add("reset") }
    progress(out).say("TERM to pod 1")

    expect(out.string).to match(/\A +\d\.\d s +2 requests, 1 failed +TERM to pod 1\n\z/)
  end

  it "keeps one line up to date on a terminal, with the phase" do
    out = Lines.new("the terminal")
    tally.mark("lag")
    add("503")
    states = progress(out, live: true)
    states.during do
      Patience.until_true("two states of the line") { out.to_s.scan("requests").size >= 2 }
    end

    expect(out.to_s).to match(%r{\r\e\[K +\d+\.\d s  1 requests, 1 failed, \d+/s, lag})
    expect(out.to_s).not_to include("\n")
    expect(out.to_s).to end_with("\r\e[K")
  end

  it "says an event above that line" do
    out = StringIO.new
    progress(out, live: true).say("TERM to pod 1")

    expect(out.string).to match(%r{\A\r\e\[K +\d\.\d s  TERM to pod 1\n +\d\.\d s  0 requests, 0 failed, 0/s, steady\z})
  end

  it "can be asked before there is a tally" do
    out = StringIO.new
    described_class.new(out, live: true).say("starting")

    expect(out.string).to end_with("starting\n")
  end
end
