# frozen_string_literal: true

# A thread that sends back what WebSocket clients send (RFC 6455, without fragments).

require "digest"

class Echo
  GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
  CLOSE = 8
  GOING_AWAY = 1001

  # How often to look whether the server drains, in seconds.
  LOOK = 0.2

  # What is known of a client: what has come and is no whole frame yet.
  Client = Struct.new(:socket, :input, :closing)

  def self.asked?(env) = env["HTTP_UPGRADE"]&.casecmp?("websocket") && env["HTTP_SEC_WEBSOCKET_KEY"]

  def initialize
    @clients = {}
    @lock = Mutex.new
    @wake, @waker = IO.pipe
  end

  # Answers the handshake, and has the thread serve the socket.
  def take(socket, key, draining)
    accept = Digest::SHA1.base64digest(key + GUID)
    socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: #{accept}\r\n\r\n")
    @lock.synchronize do
      @draining = draining
      @clients[socket] = Client.new(socket, +"".b, false)
      @thread ||= Thread.new { serve }
    end
    @waker.write_nonblock("x", exception: false)
  rescue SystemCallError
    socket.close
  end

  private

  def serve
    loop do
      sockets = @lock.synchronize { @clients.keys }
      ready, = IO.select([@wake, *sockets], nil, nil, LOOK)
      ready&.each { |io| io.equal?(@wake) ? io.read_nonblock(1000, exception: false) : read(@clients[io]) }
      say_goodbye if @draining.call
    end
  end

  def read(client)
    case piece = client.socket.read_nonblock(16_384, exception: false)
    when :wait_readable then nil
    when nil then drop(client)
    else
      client.input << piece
      answer(client) while client.input.bytesize >= 2 && !client.socket.closed? && whole?(client.input)
    end
  rescue SystemCallError, IOError
    drop(client)
  end

  # Whether a whole frame has come: two bytes, perhaps two more for the length, the mask, the payload.
  def whole?(input)
    short = input.getbyte(1) & 0x7F
    @header = short == 126 ? 8 : 6
    return false if input.bytesize < @header

    @length = short == 126 ? input.byteslice(2, 2).unpack1("n") : short
    input.bytesize >= @header + @length
  end

  def answer(client)
    frame = client.input.slice!(0, @header + @length)
    mask = frame.byteslice(@header - 4, 4)
    payload = frame.byteslice(@header..).bytes.each_with_index.map { |byte, index| byte ^ mask.getbyte(index % 4) }.pack("C*")
    opcode = frame.getbyte(0) & 0x0F
    send(client, opcode, payload) unless client.closing
    drop(client) if opcode == CLOSE
  end

  def send(client, opcode, payload)
    length = payload.bytesize < 126 ? [payload.bytesize].pack("C") : [126, payload.bytesize].pack("Cn")
    client.socket.write([0x80 | opcode].pack("C") + length + payload)
  end

  def say_goodbye
    @lock.synchronize { @clients.values }.each do |client|
      next if client.closing

      client.closing = true
      send(client, CLOSE, [GOING_AWAY].pack("n"))
    rescue SystemCallError, IOError
      drop(client)
    end
  end

  def drop(client)
    @lock.synchronize { @clients.delete(client.socket) }
    client.socket.close
  end
end
