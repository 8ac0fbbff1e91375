# frozen_string_literal: true

require_relative "../../../bench/comparison/generator"

RSpec.describe Comparison::Generator, :needs do
  let(:generator) { needing_programs { described_class.build(profile: "dev", target: File.join(Rig::ROOT, "target")) } }

  after { @server&.close }

  # A server that does with each connection what the block says.
  def server(&script) = @server = ScriptedServer.new(script)

  def measure(seconds: 0.3, timeout: 10, **client)
    generator.measure("127.0.0.1:#{@server.port}", [{ name: "all", connections: 1, **client }], seconds:, timeout:).fetch("all")
  end

  # Answers every request.
  def answering(body = "hello", **how)
    asked = Queue.new
    server do |peer|
      while (request = peer.request)
        asked << request
        peer.answer(body, **how)
      end
    end
    asked
  end

  it "counts what was answered, exactly, and sends what its plan says" do
    asked = answering
    sample = measure(method: "POST", path: "/up", headers: { "X-A" => "b" }, body_bytes: 5)
    requests = Array.new(asked.size) { asked.pop }

    expect(sample).to have_attributes(finished: requests.size, errors: 0, failures: {})
    expect(sample.finished).to be >= 1
    expect(requests.uniq).to eq ["POST /up HTTP/1.1\r\nHost: 127.0.0.1:#{@server.port}\r\nContent-Length: 5\r\nX-A: b\r\n\r\nxxxxx"]
    expect(@server.connections).to eq 1
  end

  it "sends a body of a megabyte and reads one" do
    asked = answering("r" * 1_048_576)
    sample = measure(method: "POST", body_bytes: 1_048_576)

    expect(sample).to have_attributes(errors: 0, finished: asked.size)
    expect(sample.bytes).to be > sample.finished * 1_048_576
    expect(asked.pop).to end_with("\r\n\r\n#{'x' * 1_048_576}")
  end

  it "opens a connection for each request when told to, or when the server wants it" do
    answering
    expect(measure(keep_alive: false).finished).to eq @server.connections
    @server.close

    answering(headers: { "connection" => "close" })
    sample = measure
    expect(sample).to have_attributes(errors: 0, finished: @server.connections)
  end

  it "asks exactly as often as the rate says, however long each answer takes" do
    answering
    expect(measure(seconds: 0.5, rate: 200)).to have_attributes(finished: 100, errors: 0)
  end

  it "mixes requests on the same connections, and measures each kind by itself" do
    asked = answering
    mix = [{ name: "small", path: "/", share: 3 }, { name: "big", path: "/big", share: 1 }]
    samples = generator.measure("127.0.0.1:#{@server.port}", [{ name: "all", connections: 2, rate: 400, mix: }], seconds: 0.5, timeout: 10)
    paths = Array.new(asked.size) { asked.pop[/\A\S+ (\S+)/, 1] }

    expect(samples.transform_values(&:finished)).to eq("small" => paths.count("/"), "big" => paths.count("/big"))
    expect(paths.size).to eq 200
    expect(paths.count("/big")).to be_between(30, 70)
    expect(@server.connections).to eq 2
  end

  it "charges a stall to all requests that came due meanwhile, where it asks by the clock" do
    count = 0
    server do |peer|
      while peer.request
        sleep 0.5 if (count += 1) == 10 # the stall
        peer.answer("hello")
      end
    end
    sample = measure(seconds: 1, rate: 100)

    # Of a hundred, those of the first 400 ms of the stall had to wait for 100 ms at least.
    expect(sample).to have_attributes(finished: 100, errors: 0)
    expect(sample.max).to be >= 490
    expect(sample.p90).to be >= 100
  end

  it "names each failure, and goes on" do
    turn = 0
    server do |peer|
      peer.request or next
      case turn += 1
      when 1 then peer.answer("no", status: "500 Oh", headers: { "connection" => "close" })
      when 2 then peer.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut")
      when 3 then peer.write("what?\r\n\r\n")
      when 4 then peer.reset
      else
        peer.answer("fine")
        peer.answer("fine") while peer.request
      end
    end
    sample = measure(rate: 20, seconds: 0.5)

    expect(sample.failures).to eq("status" => 1, "closed" => 2, "malformed" => 1)
    expect(sample).to have_attributes(errors: 4, finished: 6)
  end

  it "does not wait for ever, and counts how long it has waited" do
    server { |peer| peer.request && peer.gone }
    sample = measure(seconds: 0.1, timeout: 0.3)

    expect(sample).to have_attributes(finished: 0, failures: { "timeout" => 1 })
    expect(sample.p50).to be >= 300
  end

  it "counts requests that never found a connection as failed" do
    server { |peer| peer.request && peer.gone }
    sample = measure(seconds: 0.1, timeout: 0.2, rate: 100)

    expect(sample).to have_attributes(finished: 0, errors: 10, failures: { "timeout" => 10 })
  end

  it "says when no server listens" do
    closed = ScriptedServer.new(->(_) {}).tap(&:close)
    sample = generator.measure("127.0.0.1:#{closed.port}", [{ name: "all", connections: 1 }], seconds: 0.1).fetch("all")

    expect(sample.failures.keys).to eq ["connect"]
    expect(sample.finished).to eq 0
  end

  it "measures several kinds of client at the same time, each by itself" do
    asked = answering
    samples = generator.measure("127.0.0.1:#{@server.port}", [{ name: "a", connections: 1, path: "/a", rate: 100 },
                                                             { name: "b", connections: 1, path: "/b", rate: 50 }], seconds: 0.2)
    paths = Array.new(asked.size) { asked.pop[%r{/[ab]}] }.tally

    expect(samples.transform_values(&:finished)).to eq("a" => 20, "b" => 10)
    expect(paths).to eq("/a" => 20, "/b" => 10)
  end

  it "pauses between an answer and the next request" do
    asked = answering
    measure(seconds: 0.3, pause: 30)
    expect(asked.size).to eq 1
  end

  it "keeps idle connections, each used once, and says how many were closed" do
    open = Queue.new
    over = Queue.new
    number = 0
    server do |peer|
      peer.request
      mine = (number += 1)
      peer.answer("hello")
      open << mine
      mine == 2 ? peer.close : peer.gone
      over << mine
    end
    closed = generator.hold("127.0.0.1:#{@server.port}", { name: "all", connections: 1 }, 3) do
      3.times { open.pop }
      over.pop # the one that closes has done so
    end

    expect(closed).to eq 1
    expect(@server.connections).to eq 3
  end

  it "refuses any address but this machine's own" do
    expect { generator.measure("192.0.2.1:80", [{ name: "all", connections: 1 }], seconds: 1) }
      .to raise_error(Rig::Unavailable).and output(/not an address of this machine's loopback/).to_stderr_from_any_process
  end
end
