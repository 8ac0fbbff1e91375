# frozen_string_literal: true

require_relative "../../../bench/rollout/web_socket"

RSpec.describe Rollout::WebSocket, :scripted do
  # Opens one to a server that does the rest of the script after a right handshake.
  def open(&script)
    upgrade(scripted { |peer| peer.upgrade && script.call(peer) })
  end

  def upgrade(server)
    connection = Rollout::Connection.open(server.host, server.port, within: Patience::SECONDS)
    described_class.open(connection, "/", within: Patience::SECONDS)
  end

  def failure
    yield
    nil
  rescue Rollout::Failed => error
    error.kind
  end

  it "has the accept value of the RFC's example" do
    expect(Rollout::Frames.accept("dGhlIHNhbXBsZSBub25jZQ==")).to eq "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
  end

  it "sends masked frames with short and with longer payloads" do
    seen = Queue.new
    socket = open { |peer| 2.times { seen << peer.frame } }
    socket.send("hi")
    socket.send("x" * 300)

    expect([Patience.pop(seen), Patience.pop(seen)]).to eq [[1, "hi"], [1, "x" * 300]]
  end

  it "reads messages, answers pings and passes over pongs" do
    seen = Queue.new
    socket = open do |peer|
      peer.write("\x89\x02yo".b, "\x8A\x00".b, "\x81\x05hello".b)
      seen << peer.frame
      peer.gone
    end

    expect(socket.message(within: Patience::SECONDS).payload).to eq "hello"
    expect(Patience.pop(seen)).to eq [10, "yo"]
  end

  it "reads a Close, answers it with its status and sees the end" do
    seen = Queue.new
    socket = open { |peer| peer.write("\x88\x02\x03\xE9".b) && seen << peer.frame }
    frame = socket.message(within: Patience::SECONDS)
    socket.answer_close(frame, within: Patience::SECONDS)

    expect([frame.close?, frame.status]).to eq [true, 1001]
    expect(Patience.pop(seen)).to eq [8, [1001].pack("n")]
  end

  it "takes an end that no Close announced for an abnormal one, between frames and within" do
    expect(failure { open(&:close).message(within: Patience::SECONDS) }).to eq "abnormal close"
    expect(failure { open(&:reset).message(within: Patience::SECONDS) }).to eq "abnormal close"
    expect(failure { open { |peer| peer.write("\x81\x05he".b) }.message(within: Patience::SECONDS) }).to eq "abnormal close"
  end

  it "gives up on silence" do
    expect(failure { open(&:gone).message(within: 0.05) }).to eq "timeout"
  end

  it "calls a masked or fragmented frame malformed" do
    expect(failure { open { |peer| peer.write("\x01\x01h".b) && peer.gone }.message(within: Patience::SECONDS) }).to eq "malformed"
  end

  it "is not upgraded by another answer or the wrong accept value" do
    other = scripted { |peer| peer.request && peer.answer("no", status: "426 Upgrade Required") && peer.gone }
    wrong = scripted { |peer| peer.upgrade("another key's") && peer.gone }

    expect(failure { upgrade(other) }).to eq "not upgraded"
    expect(failure { upgrade(wrong) }).to eq "not upgraded"
  end

  it "fails by the number of a 5xx" do
    server = scripted { |peer| peer.request && peer.answer("", status: "503 Service Unavailable") && peer.gone }

    expect(failure { upgrade(server) }).to eq "503"
  end
end
