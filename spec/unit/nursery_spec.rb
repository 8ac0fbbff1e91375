# frozen_string_literal: true

require "socket"

# The process in which workers are forked is a double here: no worker runs.
RSpec.describe Tidegate::Nursery do
  let(:socket) { File.open(File::NULL) }
  let(:server) { double(sockets: [["tcp://127.0.0.1:1", socket.fileno, false]]) }
  let(:cluster) { double(spawned: nil) }
  let(:parts) { double(server:, cluster:, configuration: double(max_requests: nil)) }
  let(:nursery) { described_class.new(parts) }
  let(:pair) { UNIXSocket.pair }

  after { [socket, *pair].each(&:close) }

  # The line that the mold is told next, and how many descriptors come with it.
  def told
    text, _, _, *control = pair.last.recvmsg(1000, scm_rights: true)
    [text.lines.first, control.flat_map(&:unix_rights).each(&:close).size]
  end

  def mold
    Tidegate::WorkerHandle.new(index: 0, slot: 0, control: pair.first, pid: 12, request_limit: nil)
  end

  it "has the mold fork, with the sockets that it was given" do
    nursery.mold = mold
    expect(told).to eq ["sockets tcp://127.0.0.1:1\n", 1]
    worker = nursery.fork(1, 2, [])
    expect([told, worker.pid]).to eq [["fork 1 2\n", 1], nil]
    worker.control.close
  end

  # The master ended with EPIPE.
  it "has the master fork where the mold has died before it was told" do
    pair.last.close
    expect { nursery.mold = mold }.not_to raise_error
    allow(Process).to receive(:fork).and_return(34)
    worker = nursery.fork(1, 2, [])
    expect(worker.pid).to eq 34
    expect(cluster).to have_received(:spawned).with(2, 34)
    worker.control.close
  end
end
