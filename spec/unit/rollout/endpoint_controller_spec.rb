# frozen_string_literal: true

require_relative "../../../bench/rollout/endpoint_controller"

RSpec.describe Rollout::EndpointController do
  # A data plane that notes what it is told.
  let(:data_plane) do
    Class.new do
      attr_reader :told

      def initialize = @told = []
      def route(pod) = @told << [:route, pod]
      def unroute(pod) = @told << [:unroute, pod]
      def forget(pod) = @told << [:forget, pod]
    end.new
  end
  let(:changes) { Queue.new }
  let(:controller) { described_class.new(data_plane, lag: 0.05) { |pods| changes << pods } }

  after { controller.stop }

  def until_routed(*pods) = controller.wait_until(within: 5) { |routed| routed == pods }

  it "gives traffic to the new pod before it takes it from the old one, and forgets the old one when it has ended" do
    controller.probed(:old, serving: true)
    until_routed(:old)
    controller.deleted(:old)
    controller.probed(:new, serving: true)
    until_routed(:new)
    controller.gone(:old)
    controller.probed(:other, serving: true)
    until_routed(:new, :other)

    # What arrives together is told together, what gets traffic first.
    expect(data_plane.told).to include(%i[forget old])
    expect(data_plane.told - [%i[forget old]]).to eq([%i[route old], %i[route new], %i[unroute old], %i[route other]])
    expect(Array.new(changes.size) { changes.pop }).to start_with([:old]).and end_with(%i[new other])
  end

  it "waits for the lag, unless it is hurried" do
    slow = described_class.new(data_plane, lag: 3600)
    slow.probed(:pod, serving: true)
    expect { slow.wait_until(within: 0.01) { |routed| routed.any? } }.to raise_error(Rig::Unavailable)

    slow.hurry
    slow.wait_until(within: 5) { |routed| routed == [:pod] }
  ensure
    slow.stop
  end

  it "tells the waiting thread what went wrong with the data plane" do
    allow(data_plane).to receive(:route).and_raise(Rig::Unavailable, "it is gone")
    controller.probed(:pod, serving: true)

    expect { until_routed(:pod) }.to raise_error(Rig::Unavailable, "it is gone")
  end
end
