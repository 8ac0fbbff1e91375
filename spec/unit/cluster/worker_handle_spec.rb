# frozen_string_literal: true

require "socket"

RSpec.describe Tidegate::WorkerHandle do
  let(:sockets) { UNIXSocket.pair }
  let(:worker) { sockets.last }
  let(:handle) { described_class.new(index: 2, slot: 5, control: sockets.first, pid: 4711) }

  after { sockets.each(&:close) }

  it "hears whole lines, however they come" do
    worker << "pid 47"
    expect(handle.lines).to eq []
    worker << "11\nbooted\ndra"
    expect(handle.lines).to eq ["pid 4711", "booted"]
    worker << "in\n"
    expect(handle.lines).to eq ["drain"]
  end

  it "hears that the worker has gone, after what it has said" do
    worker << "booted\n"
    worker.close
    expect(handle.lines).to be_nil.or eq(["booted"])
    expect(handle.lines).to be_nil
  end

  it "keeps no more of a line without an end than a line may have" do
    10.times do
      worker << ("x" * 400)
      handle.lines
    end
    worker << "\nbooted\n"
    expect(handle.lines.last).to eq "booted"
  end

  it "speaks in bytes that the native side knows" do
    handle.signal(:TERM)
    handle.signal(:INT)
    handle.retire
    expect(worker.readpartial(9).bytes).to eq [0, 2, "R".ord]
    expect(handle).to be_retiring
  end

  it "does not wait for a worker that does not read, nor mind one that has gone" do
    200_000.times { handle.signal(:TERM) }
    worker.close
    expect { handle.signal(:TERM) }.not_to raise_error
  end

  it "says which worker it is" do
    expect(handle.to_s).to eq "worker 2 (pid 4711)"
    handle.pid = nil
    expect(handle.to_s).to eq "worker 2"
  end
end
