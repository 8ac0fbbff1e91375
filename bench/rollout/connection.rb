# frozen_string_literal: true

require "socket"

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

  Response = Struct.new(:status, :headers, :body) do
    def last? = headers["connection"]&.downcase == "close"
  end

  class Connection
    def self.open(host, port, within:)
      new(Socket.tcp(host, port, connect_timeout: within))
    rescue Errno::ECONNREFUSED
      raise Failed, "refused"
    rescue Errno::ETIMEDOUT
      raise Failed, "timeout"
    rescue SystemCallError => error
      raise Failed, error.class.name.split("::").last
    end

    def initialize(socket)
      @socket = socket
      @socket.setsockopt(:TCP, :NODELAY, true)
      @buffer = String.new(encoding: Encoding::BINARY)
    end

    # Sends one request and reads its answer, both before `within` seconds are over.
    def request(verb, path, body = nil, within:)
      @limit = now + within
      @begun = false
      head = "#{verb} #{path} HTTP/1.1\r\nhost: rollout\r\n"
      head << "content-length: #{body.bytesize}\r\n" if body
      write("#{head}\r\n#{body}")
      read_response
    end

    # Whether the other side has closed it while nothing was asked: seen before a request is sent, as clients do.
    def stale?
      @socket.read_nonblock(1, exception: false) != :wait_readable
    rescue SystemCallError
      true
    end

    def close
      @socket.close
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    # A write that the other side has cut does not hide an answer that it sent before.
    def write(bytes)
      until bytes.empty?
        written = @socket.write_nonblock(bytes, exception: false)
        written.is_a?(Integer) ? bytes = bytes.byteslice(written..) : await { |left| @socket.wait_writable(left) }
      end
    rescue Errno::EPIPE, Errno::ECONNRESET
      nil
    end

    def read_response
      head = read_until("\r\n\r\n")
      status = head[%r{\AHTTP/1\.[01] (\d{3})}, 1] or raise Failed, "malformed"
      headers = head.strip.lines(chomp: true).drop(1).to_h { |line| line.split(/:\s*/, 2).then { |n, v| [n.downcase, v] } }
      Response.new(status.to_i, headers, read_body(headers))
    end

    def read_body(headers)
      if headers["transfer-encoding"]&.downcase == "chunked" then read_chunks
      elsif headers["content-length"] then read_bytes(headers["content-length"].to_i)
      else read_to_end
      end
    end

    def read_chunks
      body = +""
      until (size = read_until("\r\n").hex).zero?
        body << read_bytes(size)
        read_bytes(2)
      end
      read_bytes(2)
      body
    end

    def read_until(mark)
      fill until (found = @buffer.index(mark))
      @buffer.slice!(0, found + mark.bytesize)
    end

    def read_bytes(count)
      fill until @buffer.bytesize >= count
      @buffer.slice!(0, count)
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
      @buffer << (receive or raise Failed, @begun ? "truncated" : "eof before response")
      @begun = true
    end

    # The next bytes, or nil at the end.
    def receive
      loop do
        bytes = @socket.read_nonblock(65_536, exception: false)
        return bytes unless bytes == :wait_readable

        await { |left| @socket.wait_readable(left) }
      end
    rescue Errno::ECONNRESET, Errno::EPIPE
      raise Failed, @begun ? "truncated" : "reset"
    end

    def await
      left = @limit - now
      raise Failed, "timeout" unless left.positive? && yield(left)
    end
  end
end
