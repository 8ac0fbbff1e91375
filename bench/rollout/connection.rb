# frozen_string_literal: true

require "openssl"
require "socket"
require_relative "response"

# A client's HTTP/1.1 connection, as plain as can be: one request, one answer, no retry of any kind,
# and when that fails, the exact way it failed.
module Rollout
  # A request that got no whole answer. `kind` is one of the words the table shows.
  class Failed < StandardError
    attr_reader :kind

    def initialize(kind)
      @kind = kind
      super
    end
  end

  class Connection
    class << self
      # Whether all connections from now on are encrypted.
      attr_accessor :encrypted
    end

    # One for all, because to make it costs as much as a handshake. Nothing here is about who the server is.
    CONTEXT = OpenSSL::SSL::SSLContext.new.tap do |context|
      context.verify_mode = OpenSSL::SSL::VERIFY_NONE
      context.alpn_protocols = %w[http/1.1]
    end

    # Connects before `within` seconds are over. A small receive buffer makes a reader that the server has to wait for.
    def self.open(host, port, within:, receive_buffer: nil)
      target = Addrinfo.tcp(host, port)
      socket = Socket.new(target.afamily, Socket::SOCK_STREAM)
      socket.setsockopt(:SOCKET, :RCVBUF, receive_buffer) if receive_buffer
      establish(socket, target, within)
      encrypted ? new(socket, encrypt(socket, within)) : new(socket)
    rescue SystemCallError, Failed => error
      socket&.close
      raise error if error.is_a?(Failed)

      raise Failed, REASONS.fetch(error.class, error.class.name.split("::").last)
    end

    # Why there is no connection, in the table's words; any other error by its own name.
    REASONS = { Errno::ECONNREFUSED => "refused", Errno::ECONNRESET => "reset", Errno::ETIMEDOUT => "timeout" }.freeze

    def self.establish(socket, target, within)
      return unless socket.connect_nonblock(target, exception: false) == :wait_writable
      raise Failed, "timeout" unless socket.wait_writable(within)

      error = socket.getsockopt(:SOCKET, :ERROR).int
      raise SystemCallError.new("connect", error) unless error.zero?
    end
    private_class_method :establish

    # The socket with TLS. A handshake that the other side ends is told apart from one that it does not take up.
    def self.encrypt(socket, within)
      limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + within
      encrypted = OpenSSL::SSL::SSLSocket.new(socket, CONTEXT)
      encrypted.sync_close = true
      encrypted.hostname = "localhost"
      while (wanted = encrypted.connect_nonblock(exception: false)).is_a?(Symbol)
        left = [limit - Process.clock_gettime(Process::CLOCK_MONOTONIC), 0].max
        ready = wanted == :wait_readable ? socket.wait_readable(left) : socket.wait_writable(left)
        raise Failed, "timeout in handshake" unless ready
      end
      encrypted
    rescue OpenSSL::SSL::SSLError, Errno::ECONNRESET, Errno::EPIPE
      raise Failed, "cut in handshake"
    end
    private_class_method :encrypt

    # `socket` is what is read and written, and `raw` what the kernel knows: the same where nothing is encrypted.
    def initialize(raw, socket = raw)
      @raw = raw
      @socket = socket
      @raw.setsockopt(:TCP, :NODELAY, true)
      @buffer = String.new(encoding: Encoding::BINARY)
      self.limit = 5.0
    end

    # The client's own port; nil when the connection has ended already.
    def local_port
      @raw.local_address.ip_port
    rescue SystemCallError
      nil
    end

    # What is asked and answered from here on has so many seconds.
    def limit=(seconds)
      @limit = now + seconds
    end

    # Sends one request and reads its answer, both before `within` seconds are over.
    def request(verb, path, body = nil, within:, headers: {})
      self.limit = within
      headers = { **headers, "content-length" => body.bytesize } if body
      send_head(verb, path, headers, body)
      read_response
    end

    # Sends the head of a request, and what follows it at once.
    def send_head(verb, path, headers = {}, body = nil)
      @begun = false
      head = "#{verb} #{path} HTTP/1.1\r\nhost: rollout\r\n".b
      headers.each { |name, value| head << "#{name}: #{value}\r\n" }
      write(head << "\r\n" << body.to_s.b)
    end

    # Sends bytes. Whether they could be sent: a write that the other side has cut does not hide an answer
    # that it sent before.
    def write(bytes)
      until bytes.empty?
        written = @socket.write_nonblock(bytes, exception: false)
        written.is_a?(Integer) ? bytes = bytes.byteslice(written..) : await { |left| @raw.wait_writable(left) }
      end
      true
    rescue Errno::EPIPE, Errno::ECONNRESET, OpenSSL::SSL::SSLError
      @cut = true
      false
    end

    # Reads one whole response, and passes over those that are only interim.
    def read_response
      response = read_head
      response = read_head while response.interim?
      response.body = read_body(response)
      response
    end

    # Reads the head of a response, also of an interim one.
    def read_head = Response.parse(read_until("\r\n\r\n")) || raise(Failed, "malformed")

    # Reads a body. A block is called before each further piece: it may take its time.
    def read_body(response, &)
      if response.chunked? then "".b.tap { |body| each_chunk { |piece| body << piece } }
      elsif response.length then read_bytes(response.length, &)
      else read_to_end
      end
    end

    # Yields each chunk of a body, and returns after the last one.
    def each_chunk
      until (size = read_until("\r\n").hex).zero?
        yield read_bytes(size)
        read_bytes(2)
      end
      read_bytes(2)
    end

    # The next `count` bytes.
    def read_bytes(count)
      while @buffer.bytesize < count
        yield @buffer.bytesize if block_given?
        fill
      end
      @buffer.slice!(0, count)
    end

    # Waits for so many seconds at most, and not once something has come; whether it has.
    def input?(seconds)
      limit = now + seconds
      while @buffer.empty? && !came?
        left = limit - now
        return false unless left.positive? && @raw.wait_readable(left)
      end
      true
    end

    # Whether the other side has closed it while nothing was asked: seen before a request is sent, as clients do.
    def stale?
      @socket.read_nonblock(1, exception: false) != :wait_readable
    rescue SystemCallError, OpenSSL::SSL::SSLError
      true
    end

    def close
      @socket.close
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    # Whether there is something to read, or the end: of what is encrypted not all is for us.
    def came?
      return !@raw.wait_readable(0).nil? if @raw.equal?(@socket)

      bytes = @socket.read_nonblock(65_536, exception: false)
      @buffer << bytes if bytes.is_a?(String)
      bytes != :wait_readable
    rescue SystemCallError, OpenSSL::SSL::SSLError
      true
    end

    def read_until(mark)
      fill until (found = @buffer.index(mark))
      @buffer.slice!(0, found + mark.bytesize)
    end

    def read_to_end
      body = @buffer.dup
      while (more = receive)
        body << more
      end
      @buffer.clear
      body
    end

    def fill
      @buffer << (receive or raise Failed, @begun ? "truncated" : @cut ? "reset" : "eof before response")
      @begun = true
    end

    # The next bytes, or nil at the end.
    def receive
      loop do
        bytes = @socket.read_nonblock(65_536, exception: false)
        return bytes unless bytes == :wait_readable

        await { |left| @raw.wait_readable(left) }
      end
    rescue Errno::ECONNRESET, Errno::EPIPE
      raise Failed, @begun ? "truncated" : "reset"
    rescue OpenSSL::SSL::SSLError # the end came without close_notify
      raise Failed, @begun ? "truncated" : "cut before response"
    end

    def await
      left = @limit - now
      raise Failed, "timeout" unless left.positive? && yield(left)
    end
  end
end
