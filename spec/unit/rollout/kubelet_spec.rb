# frozen_string_literal: true

require_relative "../../../bench/rollout/kubelet"

RSpec.describe Rollout::Kubelet do
  # A pod that ends when it is told to, or only when it is killed.
  let(:pod_class) do
    Class.new do
      attr_reader :signals, :ended_at

      def initialize(stubborn: false)
        @stubborn, @signals, @ended = stubborn, [], Queue.new
      end

      def name = "pod"
      def host = "127.0.0.1"
      def port = 1
      def admin_port = 2
      def ready! = true
      def output = ["last line"]
      def outcome = @stubborn ? "signal 9" : "exit 0"

      def signal(name)
        @signals << name
        finish unless @stubborn
      end

      def kill = @ended.closed? || (@signals << :KILL && finish)

      def finish
        @ended_at = Rig.now
        @ended.close
      end

      # A closed queue does not wait.
      def ended?(within: 0) = @ended.pop(timeout: [within, 0].max).nil? && @ended.closed?

      def stop = kill
    end
  end
  let(:prober) { Class.new { def get(_host, port, path, within:) = port == 2 && path == "/servingz" && within ? 200 : 503 }.new }
  let(:told) { Queue.new }
  let(:endpoints) do
    told = self.told
    Class.new do
      define_method(:probed) { |_pod, serving:| told << [:probed, serving] }
      define_method(:deleted) { |_pod, at:| told << [:deleted, at.class] }
      define_method(:gone) { |_pod, at:| told << [:gone, at.class] }
    end.new
  end

  def kubelet(pod, path: "/servingz", period: 0.01)
    check = described_class::Check.new(path:, admin: true, period:, failure_threshold: 3)
    described_class.new(pod, check:, prober:, endpoints:)
  end

  it "tells of readiness, the deletion and the end, in that order, and sends TERM at once without a preStop" do
    pod = pod_class.new
    subject = kubelet(pod).ready!
    subject.delete(grace: 30, prestop: 0)
    ending = subject.wait(expected: ["exit 0"])

    expect(Array.new(3) { told.pop }).to eq([[:probed, true], [:deleted, Float], [:gone, Float]])
    expect(pod.signals).to eq([:TERM])
    expect(ending).to have_attributes(outcome: "exit 0", killed: false, violation: nil, log: ["last line"])
  end

  it "sleeps before TERM, and counts the seconds from TERM and from the deletion" do
    pod = pod_class.new
    subject = kubelet(pod).ready!
    subject.delete(grace: 30, prestop: 0.2)
    ending = subject.wait(expected: ["exit 0"])

    expect(ending.since_deletion).to be >= 0.2
    expect(ending.since_deletion - ending.seconds).to be_within(0.011).of(0.2)
  end

  it "kills what does not end, and calls that wrong" do
    pod = pod_class.new(stubborn: true)
    subject = kubelet(pod).ready!
    subject.delete(grace: 0, prestop: 0) # which leaves two seconds
    ending = subject.wait(expected: ["exit 0"])

    expect(pod.signals).to eq(%i[TERM KILL])
    expect(ending).to have_attributes(killed: true, violation: "killed at the end of its grace")
  end

  it "says which pod did not become ready, with what it said" do
    pod = pod_class.new
    subject = kubelet(pod, path: "/readyz")

    expect { subject.ready!(within: 0.05) }.to raise_error(Rig::Unavailable, /pod was not ready within 0.05 s .*last line/)
  ensure
    subject.stop
  end
end
