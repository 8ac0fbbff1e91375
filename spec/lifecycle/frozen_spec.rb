# frozen_string_literal: true

# A process that stands still - a paused container, a virtual machine that is moved, a laptop that sleeps - for longer than every
# timeout. What clients have sent in time has arrived meanwhile, and is served first; only what is late all the same is timed out.
RSpec.describe "a server that has stood still for longer than every timeout", :processes do
  # What a client has begun: what it does while the server stands still, and the status that comes of it.
  state = Struct.new(:meanwhile, :status)

  # The server cannot tell what becomes of the time: longer than the limits, as it measures it.
  def outlast(limit)
    began = Patience.now
    Patience.until_true("the limits to pass") { Patience.now - began > limit + 0.5 }
  end

  # One that listens plainly, encrypted and behind a proxy.
  def serve_all(limit)
    binds = ["tcp://127.0.0.1:0", Certificates.bind, "tcp://127.0.0.1:0?proxy_protocol=true"].flat_map { |address| ["-b", address] }
    timeouts = %w[first-data handshake head body persistent write queue].flat_map { |name| ["--#{name}-timeout", limit] }
    start(*binds, "--trusted-proxies", "loopback", *ProcessHelpers::USUAL.drop(4), *timeouts, fixture("bounds.ru")).ready
  end

  # A server, its limits in seconds, and what the block has begun with it: well within them. A machine that is too busy for that gets
  # longer ones.
  def begin_in_time
    (2..).each do |power|
      server, limit, began = serve_all(2**power), 2**power, Patience.now
      begun = yield server
      server.catch_up
      return [server, limit, begun] if Patience.now - began < limit / 2.0
    end
  end

  # The status of a response; :ended where the connection ends without.
  def status
    yield.status
  rescue HTTPResponse::Cut, OpenSSL::SSL::SSLError, SystemCallError
    :ended
  end

  define_method(:http1) do |server, address|
    connect = -> { server.connect(address:) }
    wires = { fresh: connect.call, head: connect.call.write("GET /head HTTP/1.1\r\nHos") }
    wires[:body] = connect.call.write("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
    wires[:chunks] = connect.call.write("POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    wires[:kept] = connect.call.tap { |wire| expect(wire.get("/kept").status).to eq(200) }
    rests = { head: "t: a\r\n\r\n", body: "def", chunks: "0\r\n\r\n" }
    wires.to_h do |name, wire|
      rest = rests.fetch(name, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      [name, state.new(-> { wire.write(rest) }, -> { status { wire.response } })]
    end
  end

  define_method(:http2) do |server, address|
    connect = -> { server.connect(client: HTTP2Client, address:) }
    kept = connect.call.tap { |client| expect(client.get("/kept").status).to eq(200) }
    fresh = connect.call
    body = connect.call.request("POST", "/body", { "content-length" => "6" }, end_stream: false).write("abc")
    head = connect.call
    stream, fields = head.wire.next_stream, head.wire.fields("GET", "/head")
    head.wire.send_headers(stream, fields.take(2), end_headers: false)
    preface = HTTP2Wire.open(address, handshake: false)
    preface.write(HTTP2Wire::PREFACE[0, 20])
    opening = HTTP2Wire::PREFACE[20..] + HTTP2Wire.frame(:settings) + HTTP2Wire.frame(:headers, flags: HTTP2Wire::END_STREAM | HTTP2Wire::END_HEADERS, stream: 1, payload: HPACK.encode(fields))
    ask = lambda do |client|
      asked = false
      state.new(-> { asked = client.request("GET", "/") }, -> { asked ? status { client.response } : (client.wire.rest && :ended) })
    end
    {
      kept: ask.(kept),
      fresh: ask.(fresh),
      body: state.new(-> { body.wire.send_data(body.stream, "def", end_stream: true) }, -> { status { body.response } }),
      head: state.new(-> { head.wire.send_continuation(stream, fields.drop(2)) }, -> { status { head.wire.response(stream) } }),
      preface: state.new(-> { preface.write(opening) }, -> { status { preface.response(1) } })
    }
  end

  # What comes before HTTP.
  define_method(:openings) do |server|
    _, encrypted, proxied = server.addresses
    request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    proxy = server.connect(address: proxied).write("PROXY TCP4 192.0.2.1 ")
    hello, finished = @handshakes = Array.new(2) { TlsWire.begin(encrypted) }
    finished.step
    answered = ->(wire) { status { wire.shake_hands && wire.write(request).response } }
    {
      proxy: state.new(-> { proxy.write("198.51.100.1 4000 80\r\n#{request}") }, -> { status { proxy.response } }),
      hello: state.new(-> { hello.step }, -> { answered.(hello) }),
      finished: state.new(-> { finished.step }, -> { answered.(finished) })
    }
  end

  def begin_all(server)
    plain, encrypted = server.addresses
    {
      openings: openings(server), http1: http1(server, plain), http2: http2(server, plain),
      http1_tls: http1(server, encrypted), http2_tls: http2(server, encrypted)
    }
  end

  def statuses(begun) = begun.transform_values { |states| states.transform_values { |it| it.status.call } }

  it "serves what has come meanwhile" do
    server, limit, begun = begin_in_time { |it| begin_all(it) }
    late = nil
    server.frozen do
      begun.each_value { |states| states.each_value { |it| it.meanwhile.call } }
      late = server.connect.request("GET", "/new")
      outlast(limit)
    end

    expect(late.response.status).to eq(200)
    expect(statuses(begun)).to eq(begun.transform_values { |states| states.transform_values { 200 } })
  end

  # Whether the server has ended the connection, whatever of it is still to be read: TCP_CLOSE or TCP_CLOSE_WAIT.
  def given_up?(wire) = [7, 8].include?(wire.raw.getsockopt(:TCP, :INFO).data.unpack1("C"))

  it "times out what has not come all the same" do
    server, limit, begun = begin_in_time { |it| begin_all(it) }
    server.frozen { outlast(limit) }
    # What comes before the server has looked has come in time.
    Patience.until_true("the handshakes to be given up") { @handshakes.all? { |wire| given_up?(wire) } }

    http1 = { fresh: :ended, head: 408, body: 408, chunks: 408, kept: :ended }
    http2 = { kept: :ended, fresh: :ended, body: 408, head: :ended, preface: :ended }
    openings = { proxy: :ended, hello: :ended, finished: :ended }
    expect(statuses(begun)).to eq(openings:, http1:, http2:, http1_tls: http1, http2_tls: http2)
  end

  it "goes on with a response that a client reads meanwhile" do
    length = 4 * 1024 * 1024
    server, limit, (wires, streams) = begin_in_time do |it|
      addresses = it.addresses.take(2)
      wires = addresses.map { |address| it.connect(address:, receive_buffer: 4096).request("GET", "/string") }
      wires.each { |wire| wire.read_until("\r\n\r\n") }
      streams = addresses.map { |address| it.connect(client: HTTP2Client, address:) }
      streams.each do |client|
        client.wire.opens_windows = false
        client.request("GET", "/string").bytes(65_535)
      end
      [wires, streams]
    end
    read = nil
    server.frozen do
      read = wires.map { |wire| wire.bytes(1024 * 1024).bytesize }
      streams.each do |client|
        client.wire.opens_windows = true
        [0, client.stream].each { |stream| client.wire.send_window_update(stream, length) }
      end
      outlast(limit)
    end

    # All at a time: what is not read for as long as the limits is cut after all.
    readers = wires.zip(read).map { |wire, before| Thread.new { [before + wire.bytes(length - before).bytesize, wire.get("/next").status] } } +
              streams.map { |client| Thread.new { [client.response.body.bytesize, client.get("/next").status] } }
    expect(readers.map { |reader| Patience.value_of(reader, "a reader") }).to eq([[length, 200]] * 4)
  end
end
