# frozen_string_literal: true

require "stringio"
require_relative "../../../bench/rollout/app/echo_sockets"
require_relative "../../../bench/rollout/client"

# The app of the rollout, in what it does when it drains.
RSpec.describe "the app that is rolled out" do
  describe "on Tidegate, told to end", :processes do
    def connect(server)
      Rollout::Connection.open("127.0.0.1", server.port, within: Patience::SECONDS).tap { |connection| connection.limit = Patience::SECONDS }
    end

    it "ends its event streams in order and closes its WebSockets with 1001, and the server ends with 0" do
      app = File.expand_path("../../../bench/rollout/app.ru", __dir__)
      server = start(*ProcessHelpers::USUAL, "-t", "5:5", "-e", "production", "--drain-delay", 0.1, app).ready
      socket = Rollout::WebSocket.open(connect(server), "/echo", within: Patience::SECONDS)
      events = connect(server)
      events.send_head("GET", "/events", "last-event-id" => 41)
      stream = events.read_head
      server.signal(:TERM)
      body = events.read_body(stream) # returns after the last chunk, and raises on any other end
      frame = socket.message(within: Patience::SECONDS)
      socket.answer_close(frame, within: Patience::SECONDS)

      expect(body).to start_with("id: 42\ndata: tick 42\n\nid: 43\n")
      expect([frame.close?, frame.status]).to eq [true, 1001]
      expect(server.exit_status).to eq 0
    end
  end

  describe "elsewhere" do
    # Takes one end of a socket pair as a server would hand it out that says nothing of draining.
    def take(**env)
      ours, theirs = UNIXSocket.pair
      sockets = Rollout::EchoSockets.new
      sockets.take({ "HTTP_SEC_WEBSOCKET_KEY" => "dGhlIHNhbXBsZSBub25jZQ==", "rack.hijack" => -> { theirs } }.merge(env))
      ours
    end

    def frame(text) = ["\x81".b, [0x80 | text.bytesize].pack("C"), "\0\0\0\0", text].join

    it "serves sockets without knowing" do
      peer = take
      expect(peer.gets("\r\n\r\n")).to include("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
      peer.write(frame("hello"))

      expect(peer.read(7)).to eq "\x81\x05hello".b
    end

    it "puts frames together from any pieces, and answers pings and a Close" do
      peer = take
      peer.gets("\r\n\r\n")
      (frame("one") + frame("") + "\x89\x82\0\0\0\0yo".b + "\x88\x82\0\0\0\0\x03\xE8".b).each_char { |byte| peer.write(byte) }

      expect(peer.read).to eq "\x81\x03one\x81\x00\x8A\x02yo\x88\x02\x03\xE8".b
    end
  end
end
