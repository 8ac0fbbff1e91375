# frozen_string_literal: true

require_relative "../../../bench/rollout/client"

RSpec.describe Rollout::Clients::Echo, :clients do
  def echo(peer, text = peer.frame.last)
    length = text.bytesize < 126 ? [text.bytesize].pack("C") : [126, text.bytesize].pack("Cn")
    peer.write("\x81".b + length + text)
  end

  def close(peer, status) = peer.write([0x88, 2, status].pack("CCn"))

  # Has a server with that script behind the handshake, and an own one for each further connection.
  def sockets(*scripts, interval: 0.01, **)
    client("websocket", scripted(*scripts.map { |script| ->(peer) { peer.upgrade && script.call(peer) } }), interval:, **)
  end

  it "counts each echo" do
    running = sockets(->(peer) { loop { echo(peer) } })

    expect([running.outcome, running.outcome, running.outcome]).to eq %i[good good good]
  end

  it "notices another's message" do
    expect(sockets(->(peer) { peer.frame && echo(peer, "not yours") && peer.gone }).outcome).to eq "wrong body"
  end

  it "is not upgraded" do
    expect(first_outcome("websocket") { |peer| peer.request && peer.answer("no") && peer.gone }).to eq "not upgraded"
  end

  [1001, 1012].each do |status|
    it "answers a Close with #{status} and connects again, and nothing has failed" do
      answer = Queue.new
      running = sockets(->(peer) { echo(peer) && close(peer, status) && answer << next_close(peer) }, ->(peer) { loop { echo(peer) } })

      expect([running.outcome, running.outcome]).to eq %i[good good]
      expect(Patience.pop(answer)).to eq [status].pack("n")
    end
  end

  # The client's Close, behind messages that it may have sent before it saw ours.
  def next_close(peer)
    loop do
      opcode, payload = peer.frame
      return payload if opcode == 8
    end
  end

  it "does not count a message that the Close has crossed" do
    crossed = 0
    running = sockets(->(peer) { peer.frame && close(peer, 1001) && next_close(peer) && crossed += 1 }, ->(peer) { loop { echo(peer) } })

    expect(running.outcome).to eq :good
    expect(crossed).to eq 1
  end

  it "takes the Close also while it has nothing to say" do
    answered = Queue.new
    running = sockets(->(peer) { echo(peer) && close(peer, 1001) && answered << next_close(peer) }, interval: 3600)

    expect(running.outcome).to eq :good
    expect(Patience.pop(answered)).to eq [1001].pack("n")
    expect(running.stop).to be_idle
  end

  it "fails when the connection ends without a Close, while it waits for an echo and while it does not" do
    waiting = sockets(->(peer) { peer.frame && peer.close })
    idle = sockets(->(peer) { echo(peer) && peer.close }, interval: 3600)
    reset = sockets(->(peer) { echo(peer) && peer.reset }, interval: 3600)

    expect(waiting.outcome).to eq "abnormal close"
    expect([idle.outcome, idle.outcome]).to eq [:good, "abnormal close"]
    expect([reset.outcome, reset.outcome]).to eq [:good, "abnormal close"]
  end

  it "fails when the Close has another status" do
    expect(sockets(->(peer) { peer.frame && close(peer, 1011) && peer.gone }).outcome).to eq "abnormal close"
  end

  it "fails when no echo comes" do
    expect(sockets(->(peer) { peer.frame && peer.gone }, within: 0.2).outcome).to eq "timeout"
  end
end
