# frozen_string_literal: true

require_relative "../../../bench/rollout/client"

# The rollout's client of HTTP/2: what it counts as a failure, and what it asks again.
RSpec.describe Rollout::Clients::Streams do
  after do
    @server&.close
    @over&.close
    @thread && Patience.value_of(@thread)
  end

  # Outcomes of such a client: nil for good answers.
  def outcomes(port, count)
    @over = Queue.new
    heard = Queue.new
    client = described_class.new("streams", number: 0, host: "127.0.0.1", port:, interval: 60) { |outcome| heard << outcome }
    @thread = Thread.new { client.run(@over) }
    Array.new(count) { Patience.pop(heard).failure }
  end

  def scripted(*scripts) = @server = ScriptedServer.new(*scripts)

  # Opens a connection as a server does, and returns when the head of the client's fourth stream has come.
  def open_with_four_streams(peer)
    peer.bytes(HTTP2Wire::PREFACE.bytesize)
    peer.write(HTTP2Wire.frame(:settings), HTTP2Wire.frame(:settings, flags: 1))
    streams = 0
    until streams == 4
      high, low, type, = peer.bytes(9).unpack("CnCCN")
      peer.bytes((high << 16) | low)
      streams += 1 if type == HTTP2Wire::TYPES[:headers]
    end
  end

  def goaway(last) = HTTP2Wire.frame(:goaway, payload: [last, 0].pack("NN"))

  it "is refused" do
    port = Addrinfo.tcp("127.0.0.1", 0).bind { |socket| socket.local_address.ip_port }
    expect(outcomes(port, 4)).to eq(["refused"] * 4)
  end

  it "asks again for what a GOAWAY does not cover, and for nothing else" do
    first = lambda do |peer|
      open_with_four_streams(peer)
      peer.write(goaway(3)).close
    end
    scripted(first, :gone.to_proc)

    expect(outcomes(@server.port, 2)).to eq(["cut"] * 2)
    Patience.until_true("another connection for the other two") { @server.connections == 2 }
  end

  it "asks again for what was refused, not for what was reset" do
    scripted(lambda do |peer|
      open_with_four_streams(peer)
      [1, 3, 5].each { |stream| peer.write(HTTP2Wire.frame(:rst_stream, stream:, payload: [7].pack("N"))) }
      peer.write(HTTP2Wire.frame(:rst_stream, stream: 7, payload: [2].pack("N"))).gone
    end)

    expect(outcomes(@server.port, 1)).to eq(["reset internal_error"])
  end

  it "is cut where no GOAWAY has come" do
    scripted(->(peer) { open_with_four_streams(peer) && peer.close })
    expect(outcomes(@server.port, 4)).to eq(["cut"] * 4)
  end

  describe "on a server that works", :processes do
    it "is answered well" do
      app = File.expand_path("../../../bench/rollout/app.ru", __dir__)
      server = start(*ProcessHelpers::USUAL, "-e", "production", app).ready
      expect(outcomes(server.port, 4)).to eq([nil] * 4)
    end
  end
end
