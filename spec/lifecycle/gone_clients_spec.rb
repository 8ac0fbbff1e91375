# frozen_string_literal: true

# A client that goes while the server writes to it: the write fails with EPIPE or ECONNRESET, and no signal (SIGPIPE) ends the process.
RSpec.describe "a server whose clients go while it writes", :processes do
  length = 4 * 1024 * 1024

  def metric(server, name) = Float(Wire.open(server.admin) { |wire| wire.get("/metrics").body }[/^#{Regexp.escape(name)} (\S+)/, 1])

  # One that has begun to read a response.
  def reader(server, address, client, target)
    server.connect(client:, address:, receive_buffer: 4096).tap do |wire|
      wire.wire.opens_windows = false if wire.is_a?(HTTP2Client)
      wire.request("GET", target).read_until("0123456789")
    end
  end

  # Closes its connection: with a reset, or with its end and what was not read.
  def leave(wire, reset)
    wire = wire.wire.wire if wire.is_a?(HTTP2Client)
    reset ? wire.abort : wire.raw.close
  end

  it "serves the others, holds nothing for those that have gone, and ends as ever" do
    server = start("-b", "tcp://127.0.0.1:0", "-b", Certificates.bind, *ProcessHelpers::USUAL.drop(4), "--admin", "tcp://127.0.0.1:0",
                   fixture("bounds.ru")).ready
    ways = server.addresses.first(2).product([Wire, HTTP2Client])
    gone = ways.product(["/string", "/each", "/call"], [true, false])
    gone.each { |(address, client), target, reset| leave(reader(server, address, client, target), reset) }

    Patience.until_true("what was held for them to be let go of") do
      ["tidegate_connections{state=\"open\"}", "tidegate_buffered_bytes"].all? { |name| metric(server, name).zero? }
    end
    bodies = ways.map { |address, client| server.connect(client:, address:) { |wire| wire.get("/string").body.bytesize } }
    expect(bodies).to eq([length] * 4)
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
  end
end
