# frozen_string_literal: true

require_relative "../../../bench/rollout/client"

RSpec.describe Rollout::Clients::Events, :clients do
  def event(id) = "id: #{id}\ndata: tick #{id}\n\n".then { |text| "#{text.bytesize.to_s(16)}\r\n#{text}\r\n" }

  def begin_stream(peer) = peer.write(head("200 OK", "content-type: text/event-stream", "transfer-encoding: chunked"))

  it "counts each event" do
    running = client("sse", scripted { |peer| peer.request && begin_stream(peer).write(event(1), event(2)) && peer.gone })

    expect([running.outcome, running.outcome]).to eq %i[good good]
  end

  it "takes events in any pieces" do
    cut = event(1).sub("tick 1\n\n", "").sub(/\A\h+/) { |size| (size.hex - 8).to_s(16) }
    running = client("sse", scripted { |peer| peer.request && begin_stream(peer).write(cut, "8\r\ntick 1\n\n\r\n") && peer.gone })

    expect(running.outcome).to eq :good
  end

  it "connects again at once when the stream ends in order, and says what it had last" do
    seen = Queue.new
    server = scripted(
      ->(peer) { peer.request && begin_stream(peer).write(event(1), event(2), "0\r\n\r\n") },
      ->(peer) { (seen << peer.request) && begin_stream(peer).write(event(3)) && peer.gone }
    )
    running = client("sse", server)

    expect([running.outcome, running.outcome, running.outcome]).to eq %i[good good good]
    expect(Patience.pop(seen)).to match(/^last-event-id: 2\r$/)
  end

  it "fails when the stream is cut" do
    running = client("sse", scripted { |peer| peer.request && begin_stream(peer).write(event(1)) && peer.close })

    expect([running.outcome, running.outcome]).to eq [:good, "truncated"]
  end

  it "fails when an event is missing, on one stream and from one to the next" do
    gap = client("sse", scripted { |peer| peer.request && begin_stream(peer).write(event(1), event(3)) && peer.gone })
    expect([gap.outcome, gap.outcome]).to eq [:good, "missing event"]

    server = scripted(->(peer) { peer.request && begin_stream(peer).write(event(1), "0\r\n\r\n") },
                      ->(peer) { peer.request && begin_stream(peer).write(event(3)) && peer.gone })
    between = client("sse", server)
    expect([between.outcome, between.outcome]).to eq [:good, "missing event"]
  end

  it "fails when a stream ends without any" do
    expect(first_outcome("sse") { |peer| peer.request && begin_stream(peer).write("0\r\n\r\n") && peer.gone }).to eq "missing event"
  end

  # On a machine that is very busy even the first event may be too late in so short a time: then it is tried again.
  it "fails when nothing comes any more" do
    server = scripted do |peer|
      last = peer.request[/^last-event-id: (\d+)/, 1].to_i
      begin_stream(peer).write(event(last + 1)) && peer.gone
    end
    running = client("sse", server, within: 0.2, interval: 0.01)
    outcome = running.outcome
    outcome = running.outcome until outcome == :good

    expect(running.outcome).to eq "timeout"
  end

  it "goes on where it was after a failure" do
    seen = Queue.new
    server = scripted(->(peer) { peer.request && begin_stream(peer).write(event(1)) && peer.close },
                      ->(peer) { (seen << peer.request) && begin_stream(peer).write(event(2)) && peer.gone })
    running = client("sse", server)
    expect([running.outcome, running.outcome]).to eq [:good, "truncated"]
    running.ask

    expect(running.outcome).to eq :good
    expect(Patience.pop(seen)).to match(/^last-event-id: 1\r$/)
  end
end
