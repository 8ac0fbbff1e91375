# frozen_string_literal: true

# Attacks on servers of HTTP/2, each by its name: the server ends the connection with ENHANCE_YOUR_CALM (or another error, where the
# frames break the protocol as well), says so, and serves others meanwhile.

RSpec.describe "floods over HTTP/2", :in_process do
  let(:ran) { Queue.new }
  let(:held) { Queue.new }

  # +settings+ are the server's.
  def flooded_server(**settings)
    run_server(admin: "tcp://127.0.0.1:0", lint: false, **settings) do |env|
      ran << env["PATH_INFO"]
      held.pop(timeout: Patience::SECONDS) if env["PATH_INFO"] == "/held"
      env["rack.input"].read if env["PATH_INFO"] == "/echo"
      [200, { "content-type" => "text/plain" }, [env["PATH_INFO"] == "/big" ? "x" * 1_000_000 : "ok"]]
    end
  end

  let(:server) { flooded_server }

  after { held.close }

  def open_http2(**) = HTTP2Wire.open(server.addresses.first, **).tap { |client| wires << client }

  def metrics = Exposition.new(Wire.open(server.admin_address) { |wire| wire.get("/metrics") }.body)

  # How many connections were ended for each reason that there was.
  def floods
    counts = metrics.samples.select { |(name, _), count| name == "tidegate_http2_floods_total" && count.positive? }
    counts.to_h { |(_, labels), count| [labels["reason"], count.to_i] }
  end

  # Sends what the block gives, again and again, until the server has had enough; then returns its GOAWAY. A client beside it is
  # served in between.
  def attack(most: 3000)
    attacker = open_http2
    attacker.acknowledges = false
    beside = open_http2
    begin
      most.times do |round|
        attacker.write(yield(attacker, round))
        expect(beside.get("/").status).to eq(200) if (round % 100).zero?
        break if attacker.wire.socket.wait_readable(0) && over?(attacker)
      end
    rescue Errno::EPIPE, Errno::ECONNRESET
      nil
    end
    attacker.rest
    expect(beside.get("/").status).to eq(200)
    attacker.goaways.last
  end

  def over?(attacker)
    nil while attacker.wire.socket.wait_readable(0) && attacker.goaways.empty? && attacker.next_frame
    attacker.goaways.any?
  rescue HTTPResponse::Cut
    true
  end

  def frame(...) = HTTP2Wire.frame(...)

  # That the attack of the block is refused, counted and told.
  def expect_refusal(reason, error: :enhance_your_calm, &)
    goaway = attack(&)
    expect(goaway&.error).to eq(error)
    expect(floods).to eq(reason => 1)
  end

  # A request and the number of its stream.
  def request_frame(client, round, path: "/held", flags: 0x5) = frame(:headers, stream: (2 * round) + 1, flags:, payload: HPACK.encode(client.fields("GET", path)))

  it "CVE-2023-44487, rapid reset: requests that are taken back at once" do
    expect_refusal("reset") do |client, round|
      request_frame(client, round) + frame(:rst_stream, stream: (2 * round) + 1, payload: [8].pack("N"))
    end
  end

  it "rapid reset, where the app has begun each request" do
    attacker = open_http2
    2000.times do
      stream = attacker.request("GET", "/held")
      Patience.pop(ran)
      attacker.send_rst_stream(stream)
      held << true
    end
    # Clients that lose interest are no attack, at the pace at which an app begins requests; nothing is left behind of them.
    expect(attacker.settled? || attacker.goaways.last.error == :enhance_your_calm).to be(true)
    expect(get(server, "/").status).to eq(200)
  end

  it "CVE-2025-8671, MadeYouReset: windows that overflow" do
    expect_refusal("provoked_reset") do |client, round|
      request_frame(client, round) + frame(:window_update, stream: (2 * round) + 1, payload: [(1 << 31) - 1].pack("N"))
    end
  end

  # The other ways to it are errors of the connection here: the first ends it.
  {
    "windows that are opened by nothing" => ->(stream) { HTTP2Wire.frame(:window_update, stream:, payload: [0].pack("N")) },
    "DATA on a stream that has ended" => ->(stream) { HTTP2Wire.frame(:data, stream:, payload: "x") },
    "HEADERS on a stream that has ended" => ->(stream) { HTTP2Wire.frame(:headers, stream:, flags: 0x5, payload: HPACK.encode("x" => "y")) },
    "a priority of a wrong length" => ->(stream) { HTTP2Wire.frame(:priority, stream:, payload: "x") }
  }.each do |how, provoke|
    it "MadeYouReset: #{how}" do
      goaway = attack { |client, round| request_frame(client, round) + provoke.call((2 * round) + 1) }

      expect(%i[protocol_error frame_size_error stream_closed]).to include(goaway&.error)
      expect(ran.size).to be < 10
    end
  end

  it "CVE-2019-9514, reset flood: requests that are malformed" do
    expect_refusal("provoked_reset") { |_client, round| frame(:headers, stream: (2 * round) + 1, flags: 0x5, payload: HPACK.encode([[":method", "GET"]])) }
  end

  it "CVE-2019-9512, ping flood" do
    expect_refusal("ping") { frame(:ping, payload: "\0" * 8) * 10 }
  end

  it "CVE-2019-9515, settings flood" do
    expect_refusal("settings") { frame(:settings) * 10 }
  end

  it "CVE-2019-9513, resource loop: priorities that change again and again" do
    expect_refusal("priority") { |_client, round| frame(:priority, stream: 1, payload: HTTP2Wire.priority(depends_on: 3 + (2 * (round % 2)))) * 10 }
  end

  it "CVE-2019-9511, data dribble: a window that is opened by a byte at a time" do
    attacker = open_http2(settings: { initial_window_size: 1 })
    attacker.opens_windows = false
    stream = attacker.request("GET", "/big")
    beside = open_http2
    refused = (1..20_000).find do
      attacker.wait_for(stream, "a byte") { |it| it.body.bytesize.positive? }
      attacker.write(frame(:window_update, stream:, payload: [1].pack("N")) * 10)
      attacker.settled? ? nil : true
    rescue HTTPResponse::Cut, Errno::EPIPE, Errno::ECONNRESET
      true
    end

    expect(refused).to be_truthy
    expect(attacker.goaways.last&.error).to eq(:enhance_your_calm)
    expect(beside.get("/").status).to eq(200)
  end

  it "CVE-2019-9516, headers without a name" do
    attacker = open_http2
    attacker.send_headers(1, HPACK.encode(attacker.fields("GET", "/")) + (HPACK.literal("", "") * 1000))
    error = attacker.response(1).reset || attacker.stream(1).status

    expect([:protocol_error, 431]).to include(error)
  rescue HTTPResponse::Cut
    expect(attacker.goaways.last.error).to be(:protocol_error).or be(:enhance_your_calm)
  end

  it "CVE-2019-9517, internal data buffering: a window without end, and a client that does not read" do
    slow = flooded_server(write_timeout: 1)
    attacker = HTTP2Wire.open(slow.addresses.first, receive_buffer: 4096, settings: { initial_window_size: (1 << 31) - 1 })
    wires << attacker
    attacker.send_window_update(0, 1 << 30)
    20.times { attacker.request("GET", "/big") }

    Patience.until_true("the client that does not read to be cut off") do
      Wire.open(slow.admin_address) { |wire| wire.get("/metrics") }.body[/^tidegate_responses_too_slow_total (\d+)/, 1].to_i.positive?
    end
    expect(get(slow, "/").status).to eq(200)
  end

  it "CVE-2019-9518, empty frames: DATA" do
    expect_refusal("empty") { |client, round| (round.zero? ? request_frame(client, 0, path: "/echo", flags: 0x4) : "".b) + (frame(:data, stream: 1) * 10) }
  end

  it "empty frames: DATA that is padding" do
    expect_refusal("empty") do |client, round|
      (round.zero? ? request_frame(client, 0, path: "/echo", flags: 0x4) : "".b) + (frame(:data, stream: 1, flags: HTTP2Wire::PADDED, payload: HTTP2Wire.padded("", 10)) * 10)
    end
  end

  it "empty frames: CONTINUATION" do
    # h2 has a bound of its own, and it is lower.
    expect_refusal("continuation") { |client, round| (round.zero? ? request_frame(client, 0, flags: 0x1) : "".b) + frame(:continuation, stream: 1) }
  end

  it "CVE-2024-27316 and its kin, CONTINUATION flood: a head that never ends" do
    expect_refusal("continuation") { |client, round| (round.zero? ? request_frame(client, 0, flags: 0x1) : "".b) + frame(:continuation, stream: 1, payload: HPACK.literal("x-#{round}", "x")) }
  end

  it "CONTINUATION flood: frames as large as they may be" do
    goaway = attack { |client, round| (round.zero? ? request_frame(client, 0, flags: 0x1) : "".b) + frame(:continuation, stream: 1, payload: HPACK.literal("x-#{round}", "x" * 16_000)) }

    expect(%i[enhance_your_calm compression_error]).to include(goaway&.error)
  end

  it "CVE-2016-6581, HPACK bomb: a large field that is named a thousand times" do
    expect_refusal("header_list") do |client, round|
      frame(:headers, stream: (2 * round) + 1, flags: 0x5, payload: HPACK.encode(client.fields("GET", "/")) + HPACK.literal("x-bomb", "x" * 4000, indexing: :with) + (HPACK.indexed(62) * 12_000))
    end
  end

  it "takes a body in many small frames, as gRPC sends them" do
    client = open_http2
    stream = client.request("POST", "/echo", end_stream: false)
    200.times { client.write(frame(:data, stream:, payload: "x") * 100) }
    client.send_data(stream, "x", end_stream: true)

    expect(client.response(stream).status).to eq(200)
    expect(floods).to eq({})
  end

  it "frames of unknown types" do
    expect_refusal("unknown") { frame(0x42, payload: "x" * 100) * 10 }
  end

  it "counts each, and tells the operator of the first", :processes do
    server = serve("hello.ru", "--admin", "tcp://127.0.0.1:0")
    2.times do
      HTTP2Wire.open(server.addresses.first) do |client|
        client.send_settings
        client.write(frame(:ping, payload: "\0" * 8) * 1000)
        client.goaway
      end
    end

    server.wait_for_line(/the HTTP\/2 connection of a client at 127\.0\.0\.1 was ended: it sent too many PING frames$/)
  end

  it "takes from a client what real ones send" do
    client = open_http2
    300.times do |round|
      # A stream's window at once, a priority, a few that are taken back; a window for each piece; a PING now and then.
      stream = client.request("GET", "/big")
      client.send_window_update(stream, 1 << 20).send_frame(:priority, stream:, payload: HTTP2Wire.priority)
      if (round % 3).zero? then client.send_rst_stream(stream)
      else expect(client.response(stream).body.bytesize).to eq(1_000_000)
      end
      client.send_ping if (round % 10).zero?
    end

    expect(client.settled?).to be(true)
    expect(floods).to eq({})
  end
end
