# frozen_string_literal: true

RSpec.describe "hijacked WebSockets", :frameworks, :processes do
  # As many as the system lets two processes have, up to 1,000.
  let(:count) { [1000, Process.getrlimit(:NOFILE).first - 200].min }

  def serve_echo(*arguments) = start("-o", "127.0.0.1", "-p", 0, "-C", "-", *arguments, File.join(Frameworks::EXAMPLES, "websocket/config.ru")).ready

  def descriptors(server) = Dir.children("/proc/#{server.pid}/fd").size

  it "echo, a thousand at once; none leaks; and all are closed in order when the server drains" do
    server = serve_echo("--drain-delay", 0.5, "--termination-grace", 60)
    warm_up = WebSocket.open(server.connect, "/")
    warm_up.send("warm up").frame
    before = descriptors(server)
    sockets = Array.new(count) { WebSocket.open(server.connect, "/") }
    sockets.each_with_index { |socket, index| socket.send("message #{index}") }
    expect(sockets.map { |socket| socket.frame.payload }).to eq(Array.new(count) { |index| "message #{index}" })
    expect(descriptors(server)).to be >= before + count

    leaving = sockets.pop(count / 2)
    leaving.each { |socket| socket.wire.close }
    # Ruby opens a few for itself when threads first compete.
    Patience.until_true("the descriptors of those who left to be free") { descriptors(server) <= before + sockets.size + 10 }

    server.signal(:TERM)
    expect(sockets.map { |socket| socket.frame.then { |frame| [frame.opcode, frame.status] } }).to all(eq([:close, 1001]))
    sockets.each { |socket| expect(socket.answer_close).to be(true) }
    warm_up.frame
    warm_up.answer_close
    expect(server.exit_status).to eq(0)
    expect(server.output).to match(/hijacked=0 exit=0/)
  end

  it "are refused without an upgrade" do
    expect(serve_echo.get("/").status).to eq(426)
  end
end

RSpec.describe "streams of events", :frameworks, :processes do
  %w[/each /call].each do |path|
    it "arrive one by one with #{path}" do
      server = start("-o", "127.0.0.1", "-p", 0, "-C", "-", File.join(Frameworks::EXAMPLES, "streaming/config.ru"), env: { "PAUSE" => "3600" }).ready
      wire = server.connect
      wire.request("GET", path)

      expect(wire.read_until("data: 0\n\n")).to include("text/event-stream")
    end
  end
end
