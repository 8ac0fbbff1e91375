# frozen_string_literal: true

require_relative "../../../bench/rollout/client"

# Every kind of client against the app of the rollout on a real server, where all it asks is answered well, and against
# servers that fail in each way there is, where it says which.
RSpec.describe Rollout::Client, :clients do
  describe "the kinds" do
    it "are all of those of the specification, each with a short name" do
      expect(described_class.kinds.map(&:slug)).to eq %w[new-get new-post keep-get keep-post chunked continue idle-post slow-get
                                                         slow-post reader stream sse websocket]
      expect(described_class.kinds(%w[streams]).map(&:name)).to eq ["HTTP/2, 4 streams at once"]
    end

    it "can be chosen, in any order" do
      expect(described_class.kinds(%w[sse new-get]).map(&:slug)).to eq %w[new-get sse]
    end

    it "are named where one is not known" do
      expect { described_class.kinds(%w[sse ssh]) }.to raise_error(ArgumentError, /no kind of client: ssh \(new-get, .*websocket, streams\)/)
    end

    it "share the rate; those that are slow come on top" do
      crowd = described_class.crowd(described_class.kinds(%w[new-get keep-post sse]), rate: 100.0, host: "127.0.0.1", port: 1)
      rates = crowd.group_by(&:class).transform_values { |all| all.sum { |one| 1 / one.instance_variable_get(:@interval) }.round(3) }

      expect(rates).to eq(Rollout::Clients::Get => 50.0, Rollout::Clients::Post => 50.0, Rollout::Clients::Events => 2.0)
    end
  end

  describe "on a server that works", :processes do
    it "is answered well, whatever its kind" do
      app = File.expand_path("../../../bench/rollout/app.ru", __dir__)
      server = start(*ProcessHelpers::USUAL, "-t", "5:5", "-e", "production", app).ready
      outcomes = Queue.new
      stop = Queue.new
      crowd = described_class.crowd(described_class.kinds, rate: 60.0, host: "127.0.0.1", port: server.port) { |outcome| outcomes << outcome }
      threads = crowd.map { |client| Thread.new { client.run(stop) } }

      good = Hash.new(0)
      until good.size == described_class::KINDS.size && good.values.min >= 2
        outcome = Patience.pop(outcomes, "more outcomes than #{good}")
        expect(outcome.failure).to be_nil, outcome.inspect
        good[outcome.client] += 1
      end
      stop.close
      threads.each { |thread| Patience.value_of(thread) }
    end
  end

  describe "that asks once" do
    %w[new-get new-post keep-get keep-post idle-post chunked continue slow-get slow-post reader stream sse websocket].each do |slug|
      it "is refused (#{slug})" do
        expect(client(slug, closed_port).outcome).to eq "refused"
      end

      it "is cut off before the response (#{slug})" do
        expect(first_outcome(slug) { |peer| peer.request && peer.close }).to eq "eof before response"
      end

      it "is reset (#{slug})" do
        expect(first_outcome(slug) { |peer| peer.socket.gets("\r\n\r\n") && peer.reset }).to eq "reset"
      end

      it "is told 503 (#{slug})" do
        expect(first_outcome(slug) { |peer| peer.socket.gets("\r\n\r\n") && peer.answer("", status: "503 Busy") && peer.gone }).to eq "503"
      end

      it "waits in vain (#{slug})" do
        expect(first_outcome(slug, within: 0.2, &:gone)).to eq "timeout"
      end
    end

    %w[new-get new-post keep-get slow-get reader stream].each do |slug|
      it "gets another's body (#{slug})" do
        expect(first_outcome(slug) { |peer| peer.request && peer.answer("not yours") && peer.gone }).to eq "wrong body"
      end

      it "gets half an answer (#{slug})" do
        half = head("200 OK", "content-length: 20") + "half"
        expect(first_outcome(slug) { |peer| peer.request && peer.write(half) && peer.close }).to eq "truncated"
      end
    end

    it "notices a single wrong byte in a large body" do
      wrong = Rollout::Contents::LARGE.dup.tap { |body| body.setbyte(1_234_567, body.getbyte(1_234_567) ^ 1) }

      expect(first_outcome("reader") { |peer| peer.request && peer.answer(Rollout::Contents::LARGE) && peer.gone }).to eq :good
      expect(first_outcome("reader") { |peer| peer.request && peer.answer(wrong) && peer.gone }).to eq "wrong body"
    end

    it "notices a stream that is cut before its last chunk" do
      part = head("200 OK", "transfer-encoding: chunked") + "7\r\npart 1\n\r\n"

      expect(first_outcome("stream") { |peer| peer.request && peer.write(part) && peer.close }).to eq "truncated"
    end
  end

  describe "that keeps its connection" do
    it "uses it again" do
      server = scripted { |peer| peer.answer("hello\n") while peer.request }
      running = client("keep-get", server)
      3.times do
        expect(running.outcome).to eq :good
        running.ask
      end
      running.outcome

      expect(server.connections).to eq 1
    end

    it "leaves it when it is told to" do
      server = scripted { |peer| peer.answer("hello\n", headers: { "connection" => "close" }) while peer.request }
      running = client("keep-get", server)
      2.times { expect(running.outcome).to eq(:good).tap { running.ask } }
      running.outcome

      expect(server.connections).to eq 3
    end

    it "does not ask on one that it can see was closed" do
      closed = Queue.new
      server = scripted(->(peer) { peer.request && peer.answer("hello\n") && peer.close.then { closed << true } },
                        ->(peer) { peer.request && peer.answer("hello\n") && peer.gone })
      running = client("keep-get", server)
      expect(running.outcome).to eq :good
      Patience.pop(closed) # on loopback the end has arrived when close returns
      running.ask

      expect(running.outcome).to eq :good
      expect(server.connections).to eq 2
    end

    it "fails when the end crosses its request, and does not ask again" do
      server = scripted { |peer| peer.request && peer.answer("hello\n") && peer.request && peer.close }
      running = client("keep-get", server)
      expect(running.outcome).to eq :good
      running.ask

      expect(running.outcome).to eq "eof before response"
      expect(server.connections).to eq 1
    end

    it "connects anew after a failure" do
      server = scripted(->(peer) { peer.request && peer.close }, ->(peer) { peer.request && peer.answer("hello\n") && peer.gone })
      running = client("keep-get", server)
      expect(running.outcome).to eq "eof before response"
      running.ask

      expect(running.outcome).to eq :good
    end
  end

  describe "that uploads" do
    it "sends in chunks" do
      chunked = nil
      outcome = first_outcome("chunked") do |peer|
        head, body = peer.request.split("\r\n\r\n", 2)
        chunked = head.match?(/^transfer-encoding: chunked$/)
        peer.answer(Digest::SHA256.hexdigest(body)) && peer.gone
      end

      expect([outcome, chunked]).to eq [:good, true]
    end

    it "waits for the 100 before it sends the body" do
      early = nil
      outcome = first_outcome("continue") do |peer|
        request = peer.request
        early = peer.socket.wait_readable(0.05) # nothing may come, however long one waits
        peer.write(head("100 Continue"))
        peer.answer(Digest::SHA256.hexdigest(peer.socket.read(request[/content-length: (\d+)/, 1].to_i)))
        peer.gone
      end

      expect([early, outcome]).to eq [nil, :good]
    end

    it "is cut off after the 100" do
      expect(first_outcome("continue") { |peer| peer.request && peer.write(head("100 Continue")) && peer.close }).to eq("truncated").or eq("reset")
    end

    it "lets a slow body trickle, and stops when the answer comes first" do
      missing = Queue.new
      outcome = first_outcome("slow-post") do |peer|
        length = peer.socket.gets("\r\n\r\n")[/content-length: (\d+)/, 1].to_i
        peer.bytes(1)
        peer.answer("", status: "503 Busy")
        missing << length - 1 - peer.gone.bytesize
      end

      expect(outcome).to eq "503"
      expect(Patience.pop(missing)).to be_positive
    end
  end
end
