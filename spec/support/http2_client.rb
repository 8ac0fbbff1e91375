# frozen_string_literal: true

# A client of HTTP/2 with the manners of Wire: requests are sent one by one, and responses read in their order. So the specs of
# the Rack contract can be run over either. Below it is an HTTP2Wire, for what is about streams and frames.

class HTTP2Client
  # A response, read as HTTPResponse is.
  class Reply
    attr_reader :response

    def initialize(response) = @response = response

    def status = response.status

    def body = response.body

    def headers = response.headers

    def [](name) = response[name]

    # Pairs; nil where there are none.
    def trailers = response.trailers

    # What HTTP/1 says of its connection.
    def close? = false

    def chunked? = false
  end

  def self.open(address, **)
    client = new(HTTP2Wire.open(address, **))
    return client unless block_given?

    begin
      yield client
    ensure
      client.close
    end
  end

  # The HTTP2Wire below; the stream of the last request.
  attr_reader :wire, :stream

  def initialize(wire)
    @wire = wire
    @asked = []
    @read = Hash.new(0)
  end

  # Another client on the same connection, which has requests and streams of its own.
  def sibling = self.class.new(wire)

  def socket = wire.wire.socket

  # As Wire#request; +host+ among the headers is the authority.
  def request(method, target, headers = {}, body: nil, trailers: nil, end_stream: true)
    headers = headers.transform_keys(&:downcase)
    authority = headers.delete("host") || "example.org"
    headers["content-length"] = body.bytesize.to_s if body && !headers.key?("content-length") && !trailers
    @stream = wire.next_stream
    fields = wire.fields(method, target, headers, authority:)
    body = nil if body && body.empty?
    wire.send_headers(@stream, fields, end_stream: end_stream && !body && !trailers)
    wire.send_body(@stream, body, end_stream: end_stream && !trailers) if body
    wire.send_headers(@stream, trailers) if trailers
    @asked << @stream
    self
  end

  # Asks for another protocol (RFC 8441).
  def connect(protocol, target, headers = {}, authority: "example.org")
    @stream = wire.next_stream
    fields = [[":method", "CONNECT"], [":protocol", protocol], [":scheme", "http"], [":path", target], [":authority", authority]]
    wire.send_headers(@stream, fields + headers.to_a, end_stream: false)
    @asked << @stream
    self
  end

  def ask(method, target, headers = {}, **)
    request(method, target, headers, **)
    response
  end

  def get(target, headers = {}) = ask("GET", target, headers)

  def post(target, body, headers = {}) = ask("POST", target, headers, body:)

  # The whole response to the oldest request that has none yet. One that was reset is Cut.
  def response(**)
    stream = @asked.shift or raise "nothing was asked for"
    came = wire.response(stream)
    raise HTTPResponse::Cut.new("reset with #{came.reset}", came.body) if came.reset && !came.ended

    Reply.new(came)
  end

  # The head of the response to the last request.
  def head = Reply.new(wire.head(stream))

  # Sends bytes on the stream of the last request.
  def write(bytes)
    wire.send_data(stream, bytes)
    self
  end

  # Says that we send nothing more on it.
  def half_close
    wire.send_data(stream, "", end_stream: true)
    self
  end

  # Takes off what has come on it, up to and including what matches.
  def read_until(pattern)
    matched = nil
    wire.wait_for(stream, pattern.inspect) do |it|
      unread = it.body.byteslice(@read[stream]..)
      matched = pattern.is_a?(String) ? unread[/\A.*?#{Regexp.escape(pattern)}/mn] : unread[/\A.*?#{pattern}/mn]
      matched || it.over?
    end
    raise HTTPResponse::Cut.new("over before #{pattern.inspect}", wire.stream(stream).body) unless matched

    @read[stream] += matched.bytesize
    matched
  end

  # Takes off so many bytes; for WebSocket.
  def bytes(count)
    wire.wait_for(stream, "#{count} bytes") { |it| it.body.bytesize >= @read[stream] + count || it.over? }
    came = wire.stream(stream).body.byteslice(@read[stream], count)
    raise HTTPResponse::Cut.new("over", came) if came.bytesize < count

    @read[stream] += count
    came
  end

  # What comes on it up to its end.
  def rest
    came = wire.response(stream)
    raise HTTPResponse::Cut.new("reset with #{came.reset}", came.body) if came.reset && !came.ended

    came.body.byteslice(@read[stream]..)
  end

  # Whether nothing more comes on it.
  def ended? = wire.wait_for(stream, "its end", &:over?).body.bytesize == @read[stream]

  # Whether nothing has come of its body that was not taken, and it has not ended.
  def quiet? = wire.settled? && wire.stream(stream).body.bytesize == @read[stream] && !wire.stream(stream).over?

  # Gives up all that was asked for and not read.
  def abort
    wire.send_rst_stream(@asked.shift) until @asked.empty?
  end

  def close = wire.close
end
