# frozen_string_literal: true

require_relative "../../../bench/rollout/endpoints"

RSpec.describe Rollout::Endpoints do
  subject(:endpoints) { described_class.new(lag: 2.0) }

  def chosen(now)
    snapshot = endpoints.arrived(now)
    snapshot && described_class.chosen(snapshot)
  end

  it "lets a pod have traffic a lag after it was found ready" do
    endpoints.probed(:a, serving: true, at: 10.0)

    expect(chosen(11.9)).to be_nil
    expect(endpoints.next_at).to eq(12.0)
    expect(chosen(12.0)).to eq([:a])
    expect(endpoints.next_at).to be_nil
  end

  it "takes traffic from a deleted pod a lag after the deletion, while another is ready" do
    %i[a b].each { |pod| endpoints.probed(pod, serving: true, at: 0.0) }
    endpoints.deleted(:a, at: 10.0)

    expect(chosen(11.9)).to eq(%i[a b])
    expect(chosen(12.0)).to eq([:b])
  end

  it "does not let a deleted pod become ready again, whatever its probe says" do
    %i[a b].each { |pod| endpoints.probed(pod, serving: true, at: 0.0) }
    endpoints.deleted(:a, at: 1.0)
    endpoints.probed(:a, serving: false, at: 2.0)
    endpoints.probed(:a, serving: true, at: 3.0)

    expect(chosen(10.0)).to eq([:b])
  end

  it "falls back to those that serve while they end, when no pod is ready" do
    %i[a b].each { |pod| endpoints.probed(pod, serving: true, at: 0.0) }
    %i[a b].each { |pod| endpoints.deleted(pod, at: 1.0) }
    expect(chosen(3.0)).to eq(%i[a b])

    endpoints.probed(:a, serving: false, at: 4.0)
    expect(chosen(6.0)).to eq([:b])

    endpoints.probed(:c, serving: true, at: 7.0)
    expect(chosen(9.0)).to eq([:c])
  end

  it "has no pod when the last one has ended" do
    endpoints.probed(:a, serving: true, at: 0.0)
    endpoints.deleted(:a, at: 1.0)
    endpoints.gone(:a, at: 2.0)

    expect(chosen(4.0)).to eq([])
  end

  it "does not fall back to a pod that is merely not ready" do
    endpoints.probed(:a, serving: true, at: 0.0)
    endpoints.probed(:a, serving: false, at: 1.0)

    expect(chosen(3.0)).to eq([])
  end

  it "publishes nothing when nothing has changed" do
    endpoints.probed(:a, serving: true, at: 0.0)
    chosen(2.0)
    endpoints.probed(:a, serving: true, at: 3.0)
    endpoints.gone(:unknown, at: 3.0)

    expect(endpoints.next_at).to be_nil
  end

  it "gives the newest of several snapshots that have arrived" do
    endpoints.probed(:a, serving: true, at: 0.0)
    endpoints.probed(:b, serving: true, at: 1.0)

    expect(chosen(5.0)).to eq(%i[a b])
    expect(chosen(5.0)).to be_nil
  end

  it "keeps the order of what it is told, also of what is told late" do
    endpoints.probed(:a, serving: true, at: 5.0)
    endpoints.gone(:a, at: 4.0)

    expect(chosen(6.9)).to be_nil
    expect(chosen(7.0)).to eq([])
  end

  it "can be hurried" do
    endpoints.probed(:a, serving: true, at: 0.0)
    endpoints.hurry(0.5)

    expect(chosen(0.5)).to eq([:a])
  end
end
