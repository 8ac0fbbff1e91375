# frozen_string_literal: true

# A client that sends the very bytes a spec wants and reads what comes back, over TCP or a Unix socket, and with TLS (TlsWire).

require "socket"

class Wire
  # Opens a connection to "tcp://127.0.0.1:4000", "ssl://127.0.0.1:4000" or "unix:///tmp/app.sock". A small +receive_buffer+ makes a client
  # that can be stalled with few bytes.
  def self.open(address, receive_buffer: nil)
    wire = address.match?(%r{\A(?:ssl|https)://}) ? TlsWire.open(address, receive_buffer:) : new(connect(address, receive_buffer))
    return wire unless block_given?

    begin
      yield wire
    ensure
      wire.close
    end
  end

  # The socket of such a connection.
  def self.raw(address, receive_buffer: nil) = connect(address, receive_buffer)

  def self.connect(address, receive_buffer)
    case address
    when %r{\A(?:tcp|http)://\[?(?<host>[^\]]+?)\]?:(?<port>\d+)\z}
      connect_tcp(Addrinfo.tcp($~[:host], $~[:port].to_i), receive_buffer)
    when %r{\Aunix://(?<path>.+)\z} then UNIXSocket.new($~[:path])
    else raise ArgumentError, "no address: #{address}"
    end
  end

  def self.connect_tcp(target, receive_buffer)
    socket = Socket.new(target.afamily, Socket::SOCK_STREAM)
    socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_RCVBUF, receive_buffer) if receive_buffer
    begin
      socket.connect_nonblock(target)
    rescue IO::WaitWritable
      socket.wait_writable(Patience::SECONDS) or raise Patience::Over, "a connection to #{target.inspect_sockaddr}"
      error = socket.getsockopt(Socket::SOL_SOCKET, Socket::SO_ERROR).int
      raise SystemCallError.new("connecting to #{target.inspect_sockaddr}", error) unless error.zero?
    end
    socket
  rescue StandardError
    socket&.close
    raise
  end
  private_class_method :connect, :connect_tcp

  attr_reader :socket

  def initialize(socket)
    @socket = socket
    @buffer = +"".b
  end

  # What the kernel knows of the connection.
  def raw = @socket

  # Sends bytes, all of them.
  def write(bytes)
    deadline = Patience::Deadline.new("room to send #{bytes.bytesize} bytes")
    bytes = bytes.b
    until bytes.empty?
      case sent = @socket.write_nonblock(bytes, exception: false)
      when :wait_writable then raw.wait_writable(deadline.left) or deadline.over
      else bytes = bytes.byteslice(sent..)
      end
    end
    self
  end

  # Sends a request; +host+ and the content-length of +body+ are added.
  def request(method, target, headers = {}, body: nil)
    headers = { "host" => "example.org", **headers }
    headers["content-length"] = body.bytesize if body
    head = headers.flat_map { |name, values| Array(values).map { |value| "#{name}: #{value}\r\n".b } }
    write("#{method} #{target} HTTP/1.1\r\n".b + head.join + "\r\n#{body}".b)
  end

  # Sends a request and reads its response.
  def ask(method, target, headers = {}, body: nil)
    request(method, target, headers, body:)
    response(head: method == "HEAD")
  end

  def get(target, headers = {}) = ask("GET", target, headers)

  def post(target, body, headers = {}) = ask("POST", target, headers, body:)

  # Reads one whole response.
  def response(head: false) = HTTPResponse.read(self, head:)

  # Reads up to and including what matches.
  def read_until(pattern)
    loop do
      match = pattern.is_a?(String) ? @buffer.index(pattern) && pattern.bytesize + @buffer.index(pattern) : pattern.match(@buffer)&.end(0)
      return @buffer.slice!(0, match) if match

      more("#{pattern.inspect} (so far: #{@buffer.byteslice(0, 500).inspect})") or raise HTTPResponse::Cut.new("#{@over} before #{pattern.inspect}", @buffer.dup)
    end
  end

  # Whether the server has ended the connection properly, with nothing before the end; waits for either.
  def eof? = @buffer.empty? && more("the end of the connection").nil? && @over == :eof

  # Whether the server has reset the connection; waits for data, the end or the reset.
  def reset? = @buffer.empty? && more("a reset").nil? && @over == :reset

  # Whether the connection is over in either way; waits for data or the end.
  def ended? = @buffer.empty? && more("the end of the connection").nil?

  # Everything up to the proper end of the connection.
  def rest
    nil while more("the end of the connection")
    raise HTTPResponse::Cut.new("reset", @buffer) if @over == :reset

    @buffer.slice!(0..)
  end

  # Whether nothing has come that was not read. Does not wait.
  def quiet? = @buffer.empty? && !@socket.wait_readable(0)

  # Sends this and the end of our side in one, so that the server cannot see the one without the other.
  def write_last(text)
    @socket.send(text, Socket::MSG_MORE)
    half_close
  end

  # Says that we send nothing more, and goes on reading.
  def half_close
    @socket.shutdown(Socket::SHUT_WR)
    self
  end

  def close = @socket.close

  # Closes with a reset.
  def abort
    @socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
    @socket.close
  end

  # For HTTPResponse: a line without its end.
  def line
    @buffer.slice!(0, line_end + 2).byteslice(0..-3)
  end

  # For HTTPResponse: so many bytes.
  def bytes(count)
    while @buffer.bytesize < count
      more("#{count - @buffer.bytesize} more bytes") or
        raise HTTPResponse::Cut.new("#{@over} with #{count - @buffer.bytesize} bytes missing", @buffer.slice!(0..))
    end
    @buffer.slice!(0, count)
  end

  private

  def line_end
    loop do
      found = @buffer.index("\r\n")
      return found if found

      more("a line (so far: #{@buffer.inspect})") or raise HTTPResponse::Cut.new("#{@over} before the end of a line", @buffer.dup)
    end
  end

  # Waits for more bytes; nil when there will be none, and @over says how it ended.
  def more(what)
    return if @over

    deadline = Patience::Deadline.new(what)
    loop do
      case got = @socket.read_nonblock(65_536, exception: false)
      when :wait_readable then raw.wait_readable(deadline.left) or deadline.over
      when nil then return over(:eof)
      else return @buffer << got
      end
    end
  rescue Errno::ECONNRESET, Errno::EPIPE
    over(:reset)
  end

  def over(how)
    @over = how
    nil
  end
end
