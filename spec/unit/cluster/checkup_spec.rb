# frozen_string_literal: true

RSpec.describe Tidegate::Checkup do
  let(:clock) { { now: 1000.0 } }
  let(:worker) { Tidegate::WorkerHandle.new(index: 0, slot: 3, control: nil, pid: 100, state: :serving) }
  let(:view) { { slot: 3, heartbeat_age: 0.1, requests: 0, rss: 0 } }
  let(:cluster) { instance_double(Tidegate::Native::Cluster, workers: [view]) }
  let(:configuration) do
    instance_double(Tidegate::Configuration, worker_timeout: 60.0, worker_boot_timeout: 60.0, worker_shutdown_timeout: 30.0, max_memory: nil,
                                             refork_after: nil)
  end
  let(:supervisor) { instance_double(Tidegate::Supervisor, kill: nil) }
  let(:checkup) { described_class.new(supervisor, instance_double(Tidegate::WorkerParts, configuration:, cluster:)) }

  before do
    allow(Process).to receive(:clock_gettime).and_wrap_original { clock[:now] }
    allow(supervisor).to receive(:each).and_yield(worker)
  end

  def look_after(seconds, silent:)
    clock[:now] += seconds
    view[:heartbeat_age] = silent
    checkup.look
  end

  it "kills a worker that has been silent for too long" do
    62.times { |second| look_after(1, silent: second) }
    expect(supervisor).to have_received(:kill).with(worker, "has given no sign of life for 61 s (worker_timeout)", :timeout).once
  end

  it "does not take it for silence that the whole container stood still" do
    look_after(1, silent: 0.1)
    look_after(3600, silent: 3600)
    look_after(1, silent: 0.5)
    expect(supervisor).not_to have_received(:kill)

    look_after(3600, silent: 3600)
    61.times { |second| look_after(1, silent: 3601 + second) }
    expect(supervisor).to have_received(:kill).once
  end

  it "kills a worker that has closed its socket and goes on" do
    look_after(1, silent: 0.1)
    worker.deafen
    look_after(1, silent: 0.1)
    expect(supervisor).not_to have_received(:kill)
    look_after(1.5, silent: 0.1)
    expect(supervisor).to have_received(:kill).with(worker, "has closed the socket to its master")
  end
end
