# frozen_string_literal: true

# The client's side of a WebSocket, over a Wire (RFC 6455) or on a stream of an HTTP2Client (RFC 8441): as little as the specs need,
# and strict about what comes.

require "digest"
require "json"
require "securerandom"

class WebSocket
  GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
  OPCODES = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 }.freeze

  # A frame that came.
  Frame = Struct.new(:opcode, :payload) do
    def close? = opcode == :close

    # The status of a Close; nil for one without.
    def status = payload.unpack1("n")
  end

  # Opens one on +wire+ and makes sure that the server agrees.
  def self.open(wire, path, protocol: nil, headers: {})
    headers = { "sec-websocket-version" => "13", **(protocol ? { "sec-websocket-protocol" => protocol } : {}), **headers }
    wire.is_a?(HTTP2Client) ? connect(wire, path, headers) : upgrade(wire, path, headers)
    new(wire)
  end

  def self.upgrade(wire, path, headers)
    key = SecureRandom.base64(16)
    wire.request("GET", path, { "connection" => "Upgrade", "upgrade" => "websocket", "sec-websocket-key" => key, **headers })
    head = wire.read_until("\r\n\r\n")
    accept = head[/^sec-websocket-accept: (.*)\r$/i, 1]
    raise "not a WebSocket: #{head}" unless head.start_with?("HTTP/1.1 101 ") && accept == Digest::SHA1.base64digest(key + GUID)
  end

  def self.connect(client, path, headers)
    head = client.connect("websocket", path, headers).head
    agreed = head.status == 200 && head["sec-websocket-protocol"] == headers["sec-websocket-protocol"]
    raise "not a WebSocket: #{head.status} #{head.headers}" unless agreed && !head["sec-websocket-accept"]
  end
  private_class_method :upgrade, :connect

  def initialize(wire)
    @wire = wire
  end

  # Sends one frame, masked as a client's are.
  def send(payload, opcode: :text)
    payload = payload.b
    length = payload.bytesize < 126 ? [0x80 | payload.bytesize].pack("C") : [0x80 | 126, payload.bytesize].pack("Cn")
    mask = SecureRandom.bytes(4)
    masked = payload.bytes.each_with_index.map { |byte, index| byte ^ mask.getbyte(index % 4) }.pack("C*")
    @wire.write([0x80 | OPCODES.fetch(opcode)].pack("C") + length + mask + masked)
    self
  end

  # The next frame.
  def frame
    first, second = @wire.bytes(2).unpack("CC")
    raise "a fragment or a masked frame: #{[first, second]}" unless first & 0xF0 == 0x80 && second < 0x80

    length = second == 126 ? @wire.bytes(2).unpack1("n") : second
    Frame.new(OPCODES.key(first & 0x0F), @wire.bytes(length))
  end

  # The next message of Action Cable's protocol that is not one of its pings.
  def message
    loop do
      came = frame
      return came unless came.opcode == :text

      message = JSON.parse(came.payload)
      return message unless message["type"] == "ping"
    end
  end

  # Sends a command of Action Cable's protocol.
  def command(name, identifier, data = nil)
    send({ command: name, identifier:, data: data && JSON.generate(data) }.compact.to_json)
  end

  # Answers a Close, and sees the end of the connection.
  def answer_close
    send([1000].pack("n"), opcode: :close)
    @wire.ended?
  end

  def wire = @wire
end
