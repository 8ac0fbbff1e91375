# frozen_string_literal: true

# A server that does exactly what a spec says, connection by connection: answers wrongly, cuts, resets, is silent.

require "digest"
require "socket"

class ScriptedServer
  # A connection as the script sees it.
  class Peer
    attr_reader :socket

    def initialize(socket)
      @socket = socket
    end

    # Reads a request with its body, unless that waits for a 100. nil when the client has gone.
    def request
      head = @socket.gets("\r\n\r\n") or return
      return head if head.match?(/^expect:/i)

      head + (head.match?(/^transfer-encoding: chunked/i) ? chunks : bytes(head[/^content-length: (\d+)/i, 1].to_i))
    end

    # So many bytes.
    def bytes(count) = @socket.read(count).tap { |got| raise EOFError if got.to_s.bytesize < count }.to_s

    # Answers the handshake of a WebSocket, as RFC 6455 has it or with a wrong +accept+.
    def upgrade(accept = nil)
      key = request[/^sec-websocket-key: (.*)\r$/, 1]
      accept ||= Digest::SHA1.base64digest("#{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
      write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: #{accept}\r\n\r\n")
    end

    # Reads a frame of a WebSocket's client, which has to be masked: its opcode and what it says.
    def frame
      first, second = bytes(2).unpack("CC")
      raise "not a whole masked frame: #{[first, second]}" unless first[7] == 1 && second[7] == 1

      length = second & 0x7F
      length = bytes(2).unpack1("n") if length == 126
      mask = bytes(4).bytes
      [first & 0x0F, bytes(length).bytes.each_with_index.map { |byte, index| byte ^ mask[index % 4] }.pack("C*")]
    end

    def write(*bytes)
      bytes.each { |piece| @socket.write(piece) }
      self
    end

    # A whole answer.
    def answer(body, status: "200 OK", headers: {})
      lines = { "content-length" => body.bytesize, **headers }.map { |name, value| "#{name}: #{value}\r\n" }
      write("HTTP/1.1 #{status}\r\n#{lines.join}\r\n", body)
    end

    # Closes in order, when everything that the client has sent was read.
    def close = @socket.close

    # Closes with a reset.
    def reset
      @socket.setsockopt(:SOCKET, :LINGER, [1, 0].pack("ii"))
      @socket.close
    end

    # Returns when the client has closed, with what it sent until then.
    def gone
      rest = "".b
      loop { rest << @socket.readpartial(65_536) }
    rescue EOFError, SystemCallError
      rest
    end

    private

    def chunks
      body = +""
      until (size = @socket.gets.hex).zero?
        body << bytes(size)
        bytes(2)
      end
      bytes(2)
      body
    end
  end

  attr_reader :port

  # Runs the next script for each further connection; the last one for all that follow.
  def initialize(*scripts)
    @listener = TCPServer.new("127.0.0.1", 0)
    @port = @listener.local_address.ip_port
    @threads = []
    @errors = Queue.new
    @connections = 0
    @acceptor = Thread.new { accept(scripts) }
  end

  # How many connections there were.
  attr_reader :connections

  def host = "127.0.0.1"

  # Ends it, and raises what went wrong in a script.
  def close
    @acceptor.kill.join
    @listener.close
    @threads.each { |thread| thread.kill.join }
    raise @errors.pop unless @errors.empty?
  end

  private

  def accept(scripts)
    loop do
      peer = Peer.new(@listener.accept)
      script = scripts[[@connections, scripts.size - 1].min]
      @connections += 1
      @threads << Thread.new { play(script, peer) }
    end
  end

  def play(script, peer)
    script.call(peer)
  rescue SystemCallError, IOError
    nil # the client has gone, which is its right
  rescue StandardError => error
    @errors << error
  ensure
    peer.close unless peer.socket.closed?
  end
end
