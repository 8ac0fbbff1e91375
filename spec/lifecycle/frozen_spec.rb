# frozen_string_literal: true

# A process that stands still - a paused container, a virtual machine that is moved, a laptop that sleeps - for longer than every
# timeout. What clients have sent in time has arrived meanwhile, and is served first; only what is late all the same is timed out.
RSpec.describe "a server that has stood still for longer than every timeout", :processes do
  # Longer than a busy machine takes to bring the connections into their states.
  let(:limit) { 5 }

  let(:options) do
    %w[first-data-timeout head-timeout body-timeout persistent-timeout write-timeout queue-timeout].flat_map do |name|
      ["--#{name}", limit.to_s]
    end
  end

  # The server cannot tell what becomes of the time: longer than the limits, as it measures it.
  def outlast(limit)
    began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    Patience.until_true("the limits to pass") { Process.clock_gettime(Process::CLOCK_MONOTONIC) - began > limit + 0.5 }
  end

  def in_state(server)
    fresh = server.connect
    head = server.connect.write("GET /head HTTP/1.1\r\nHos")
    body = server.connect.write("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
    chunks = server.connect.write("POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    kept = server.connect
    expect(kept.get("/kept").status).to eq(200)
    server.catch_up
    { fresh:, head:, body:, chunks:, kept: }
  end

  it "serves what has come meanwhile" do
    server = boot("bounds.ru", *options).ready
    wires = in_state(server)
    server.frozen do
      wires[:fresh].request("GET", "/fresh")
      wires[:head].write("t: a\r\n\r\n")
      wires[:body].write("def")
      wires[:chunks].write("0\r\n\r\n")
      wires[:kept].request("GET", "/kept")
      wires[:new] = server.connect.request("GET", "/new")
      outlast(limit)
    end

    expect(wires.transform_values { |wire| wire.response.status }).to eq(wires.transform_values { 200 })
  end

  it "times out what has not come all the same" do
    server = boot("bounds.ru", *options).ready
    wires = in_state(server)
    server.frozen { outlast(limit) }

    expect(%i[head body chunks].to_h { |name| [name, wires[name].response.status] }).to eq(head: 408, body: 408, chunks: 408)
    expect(wires.values_at(:fresh, :kept)).to all(be_eof)
  end

  it "goes on with a response that a client reads meanwhile" do
    server = boot("bounds.ru", *options).ready
    wire = server.connect(receive_buffer: 4096).request("GET", "/string")
    head = wire.read_until("\r\n\r\n")
    read = 0
    server.frozen do
      read = wire.bytes(1024 * 1024).bytesize
      outlast(limit)
    end

    expect(read + wire.bytes(Integer(head[/content-length: (\d+)/, 1]) - read).bytesize).to eq(4 * 1024 * 1024)
    expect(wire.get("/next").status).to eq(200)
  end
end
