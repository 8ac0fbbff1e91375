# frozen_string_literal: true

require_relative "../../bench/rollout/report"
require_relative "../../bench/rollout/run"

# A rolling update behind HAProxy with retries off, or behind a picker of pods, told of the end two seconds late: no
# request is lost. The same with Puma in Tidegate's place shows that the test can fail.
RSpec.describe "a rolling update", :needs do
  def roll(kind, **settings)
    Rollout::Run.new(Rollout::Settings.with(server: kind.name, **settings), kind:).call
  end

  # Puma 8 where bin/peer-gems has fetched it, else the installed one.
  def puma
    Rig::Servers.puma_beside("puma8", cached: true)
  rescue Rig::Missing
    Rig::Servers.puma
  end

  it "loses none of 2,000 requests when one of two Tidegate processes is told to end, which exits with 0" do
    result = needing_programs { roll(Rig::Servers.tidegate, requests: 2000) }
    report = Rollout::Report.new(result).to_s

    expect(result.tally.total).to be >= 2000
    expect(result.tally.failures).to be_empty, report
    expect(result.endings.map(&:outcome)).to eq(["exit 0"]), report
    expect(result.endings.map(&:seconds)).to all(be >= 3.0), report
    expect(result.endings.first.log.grep(/drain: done/).size).to eq(1), report
    expect(result.endings.first.log.grep(/forcing/)).to be_empty, report
    expect(result.counters).to include(retries: 0, redispatches: 0)
  end

  it "loses some with Puma in its place" do
    # Puma waits, until it is killed, for streams that do not end by themselves.
    result = needing_programs { roll(puma, requests: 400, grace: 6.0) }

    expect(result.tally.failed(phase: Rollout::Tally::UNTOLD)).to be > 0, Rollout::Report.new(result).to_s
  end

  context "when each connection goes to a pod taken at random, as with kube-proxy" do
    # Enough for some in flight at every moment, with an end each. A connection that rests for longer than the delay is
    # closed while it is cold, and a request can cross that.
    let(:clients) { Rollout::Presets::ANSWERED - ["idle-post"] }

    it "loses nothing in a surge of one, and each old pod exits with 0" do
      result = roll(Rig::Servers.tidegate, data_plane: "picker", rolls: 2, lag: 1.0, drain_delay: 2.0, requests: 1000, clients:)
      report = Rollout::Report.new(result).to_s

      expect(result).to be_passed, report
      expect(result.tally.failures).to be_empty, report
      expect(result.endings.map { |ending| [ending.pod, ending.outcome] }).to eq([["pod 1", "exit 0"], ["pod 2", "exit 0"]]), report
      expect(result.counters).to include(connect_errors: 0)
    end

    it "loses some with Puma in its place" do
      result = needing_programs { roll(puma, data_plane: "picker", lag: 1.0, requests: 400, clients:) }

      expect(result.tally.failed(phase: Rollout::Tally::UNTOLD)).to be > 0, Rollout::Report.new(result).to_s
    end

    it "loses nothing with the only replica, which serves until its replacement does" do
      result = roll(Rig::Servers.tidegate, data_plane: "picker", scenario: "evict", boot: 0.5, lag: 0.5, drain_delay: 5.0,
                                           requests: 1000, clients:)

      expect(result).to be_passed, Rollout::Report.new(result).to_s
    end
  end
end
