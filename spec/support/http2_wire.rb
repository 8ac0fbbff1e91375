# frozen_string_literal: true

# An HTTP/2 client that sends the very frames a spec wants, right or wrong, and reads what comes back frame by frame; with the
# few comforts of a proper client for specs that only want a response. Over TCP, a Unix socket or TLS.

class HTTP2Wire
  PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".b.freeze

  TYPES = {
    data: 0, headers: 1, priority: 2, rst_stream: 3, settings: 4, push_promise: 5, ping: 6, goaway: 7, window_update: 8, continuation: 9
  }.freeze

  ERRORS = %i[
    no_error protocol_error internal_error flow_control_error settings_timeout stream_closed frame_size_error refused_stream cancel
    compression_error connect_error enhance_your_calm inadequate_security http_1_1_required
  ].freeze

  SETTINGS = {
    header_table_size: 1, enable_push: 2, max_concurrent_streams: 3, initial_window_size: 4, max_frame_size: 5, max_header_list_size: 6,
    enable_connect_protocol: 8
  }.freeze

  END_STREAM = 0x1
  ACK = 0x1
  END_HEADERS = 0x4
  PADDED = 0x8
  PRIORITY = 0x20

  # A frame that came. Its type is a symbol, or a number where RFC 9113 knows none.
  Frame = Struct.new(:type, :flags, :stream, :payload) do
    def ack? = flags & ACK != 0

    def end_stream? = flags & END_STREAM != 0 && %i[data headers].include?(type)

    def end_headers? = flags & END_HEADERS != 0

    # The name of the error in an RST_STREAM or a GOAWAY; the number where it has none.
    def error
      code = payload.unpack1(type == :goaway ? "x4N" : "N")
      ERRORS[code] || code
    end

    # Of a GOAWAY.
    def last_stream = payload.unpack1("N") & 0x7FFFFFFF

    # Of a GOAWAY: what the server says about it.
    def debug = payload.byteslice(8..)

    # Of a SETTINGS: names (numbers, where there is none) to values.
    def settings = payload.unpack("nN" * (payload.bytesize / 6)).each_slice(2).to_h { |id, value| [SETTINGS.key(id) || id, value] }

    # Of a WINDOW_UPDATE.
    def increment = payload.unpack1("N") & 0x7FFFFFFF

    # The payload of DATA or HEADERS without padding and priority.
    def content
      bytes = payload
      if flags & PADDED != 0
        padding = bytes.getbyte(0)
        raise "padding of #{padding} in #{bytes.bytesize} bytes" if padding >= bytes.bytesize

        bytes = bytes.byteslice(1, bytes.bytesize - 1 - padding)
      end
      type == :headers && flags & PRIORITY != 0 ? bytes.byteslice(5..) : bytes
    end

    def to_s
      details = case type
                when :rst_stream then " #{error}"
                when :goaway then " #{error} last=#{last_stream} #{debug.inspect}"
                when :settings then ack? ? " ack" : " #{settings}"
                else " flags=#{flags} #{payload.bytesize} bytes"
                end
      "#{type} on #{stream}#{details}"
    end
  end

  # What has come on one stream. +reset+ is the error of the RST_STREAM that ended it.
  Response = Struct.new(:stream, :informational, :fields, :body, :trailers, :ended, :reset) do
    def status = fields && fields.find { |name, _| name == ":status" }&.last.to_i

    # The values of a header as one text; nil when it is not there.
    def [](name) = HTTP2Wire.value(fields, name)

    # Names to arrays of values, without pseudo-headers; as in HTTPResponse.
    def headers = fields.reject { |name, _| name.start_with?(":") }.group_by(&:first).transform_values { |pairs| pairs.map(&:last) }

    # Whether nothing more comes.
    def over? = ended || !reset.nil?
  end

  def self.value(fields, name)
    values = (fields || []).filter_map { |key, value| value if key == name }
    values.empty? ? nil : values.join(", ")
  end

  # Connects, and sends and takes what opens an HTTP/2 connection, unless +handshake+ is false. +address+ is as in Wire.open; over TLS,
  # "h2" is what both have to agree on. +settings+ are ours.
  def self.open(address, receive_buffer: nil, handshake: true, settings: {})
    wire = address.match?(%r{\A(?:ssl|https)://}) ? open_tls(address, receive_buffer) : Wire.open(address, receive_buffer:)
    client = new(wire)
    client.handshake(settings) if handshake
    return client unless block_given?

    begin
      yield client
    ensure
      client.close
    end
  end

  def self.open_tls(address, receive_buffer)
    wire = TlsWire.open(address, receive_buffer:) { |context| context.alpn_protocols = ["h2"] }
    chosen = wire.socket.alpn_protocol
    raise "the server chose #{chosen.inspect}" unless chosen == "h2"

    wire
  end
  private_class_method :open_tls

  # The Wire below; what the server has said in its SETTINGS; the GOAWAYs that have come; all frames that have come; the number of
  # the stream that begins next.
  attr_reader :wire, :peer_settings, :goaways, :log, :next_stream

  # Whether SETTINGS and PING are acknowledged as they come, and windows opened again as DATA comes. All are true at first.
  attr_accessor :acknowledges, :opens_windows

  def initialize(wire)
    @wire = wire
    @decoder = HPACK::Decoder.new
    @streams = {}
    @next_stream = 1
    @goaways = []
    @log = []
    @peer_settings = {}
    @acknowledges = @opens_windows = true
    @taken = Hash.new(0)
    @window = 65_535
    @stream_windows = Hash.new { |windows, stream| windows[stream] = @peer_settings.fetch(:initial_window_size, 65_535) }
  end

  # The preface and our SETTINGS; then the server's SETTINGS, and its acknowledgement of ours.
  def handshake(settings = {})
    write(PREFACE + HTTP2Wire.frame(:settings, payload: HTTP2Wire.settings(settings)))
    first = frame
    raise "the first frame is not SETTINGS: #{first}" unless first.type == :settings && !first.ack?

    frame_that("acknowledges our SETTINGS") { |it| it.type == :settings && it.ack? }
    self
  end

  # -- what is sent

  # The bytes of a frame. +length+ is what its head says, if that is to be wrong; +type+ a symbol or a number.
  def self.frame(type, flags: 0, stream: 0, payload: "", length: nil)
    payload = payload.b
    length ||= payload.bytesize
    [length >> 16, length & 0xFFFF, type.is_a?(Integer) ? type : TYPES.fetch(type), flags, stream].pack("CnCCN") + payload
  end

  # The payload of SETTINGS: a hash, or pairs where one name comes twice; names are symbols or numbers.
  def self.settings(pairs) = pairs.map { |name, value| [name.is_a?(Integer) ? name : SETTINGS.fetch(name), value].pack("nN") }.join

  # +payload+ with padding; +length+ is what the padding's length says, if that is to be wrong.
  def self.padded(payload, padding, length: padding) = [length].pack("C") + payload.b + "\0".b * padding

  def self.priority(depends_on: 0, weight: 15, exclusive: false) = [depends_on | (exclusive ? 1 << 31 : 0), weight].pack("NC")

  def self.error_code(error) = error.is_a?(Integer) ? error : ERRORS.index(error) || raise(ArgumentError, "no error: #{error}")

  # Sends bytes, all of them.
  def write(bytes)
    @wire.write(bytes)
    self
  end

  def send_frame(type, **parts)
    @next_stream = [@next_stream, parts[:stream] + 2].max if type == :headers && parts.fetch(:stream, 0).odd?
    write(HTTP2Wire.frame(type, **parts))
  end

  def send_settings(pairs = {}) = send_frame(:settings, payload: HTTP2Wire.settings(pairs))

  def send_ping(payload = "\0" * 8, ack: false) = send_frame(:ping, flags: ack ? ACK : 0, payload:)

  def send_rst_stream(stream, error = :cancel) = send_frame(:rst_stream, stream:, payload: [HTTP2Wire.error_code(error)].pack("N"))

  def send_window_update(stream, increment) = send_frame(:window_update, stream:, payload: [increment].pack("N"))

  def send_goaway(last_stream: 0, error: :no_error) = send_frame(:goaway, payload: [last_stream, HTTP2Wire.error_code(error)].pack("NN"))

  # DATA, without regard to windows.
  def send_data(stream, payload, end_stream: false) = send_frame(:data, stream:, flags: end_stream ? END_STREAM : 0, payload:)

  # HEADERS; +fields+ are pairs or a hash, or the block itself as a text.
  def send_headers(stream, fields, end_stream: true, end_headers: true)
    flags = (end_stream ? END_STREAM : 0) | (end_headers ? END_HEADERS : 0)
    send_frame(:headers, stream:, flags:, payload: fields.is_a?(String) ? fields : HPACK.encode(fields))
  end

  def send_continuation(stream, fields, end_headers: true)
    send_frame(:continuation, stream:, flags: end_headers ? END_HEADERS : 0, payload: fields.is_a?(String) ? fields : HPACK.encode(fields))
  end

  # The fields of a request; +headers+ are added behind the pseudo-headers.
  def fields(method, path, headers = {}, scheme: "http", authority: "example.org")
    [[":method", method], [":scheme", scheme], [":path", path], [":authority", authority]] +
      headers.flat_map { |name, values| Array(values).map { |value| [name, value] } }
  end

  # Begins a request on the next stream, and returns the stream's number. A body is sent as the server's windows allow.
  def request(method, path, headers = {}, body: nil, trailers: nil, end_stream: true)
    stream = @next_stream
    send_headers(stream, fields(method, path, headers), end_stream: end_stream && !body && !trailers)
    send_body(stream, body, end_stream: end_stream && !trailers) if body
    send_headers(stream, trailers) if trailers
    stream
  end

  # Sends a body in frames as large as the server takes, and waits for its windows to open; no more of it once the stream is over.
  def send_body(stream, body, end_stream: true)
    body = body.b
    raise ArgumentError, "use send_data for no bytes" if body.empty?

    until body.empty? || stream(stream).over?
      room = [@window, @stream_windows[stream], @peer_settings.fetch(:max_frame_size, 16_384), body.bytesize].min
      next frame if room < 1

      piece = body.slice!(0, room)
      @window -= room
      @stream_windows[stream] -= room
      send_data(stream, piece, end_stream: end_stream && body.empty?)
    end
    self
  end

  # Sends a request and waits for its response.
  def ask(method, path, headers = {}, body: nil, trailers: nil) = response(request(method, path, headers, body:, trailers:))

  def get(path, headers = {}) = ask("GET", path, headers)

  def post(path, body, headers = {}) = ask("POST", path, { "content-length" => body.bytesize.to_s, **headers }, body:)

  # -- what comes

  # The next frame; the end of the connection is an error.
  def frame
    next_frame or raise HTTPResponse::Cut, "the connection is over (so far: #{@log.last(8).join('; ')})"
  end

  # The next frame; nil at the end of the connection.
  def next_frame
    head = head_of_frame or return
    high, low, type, flags, stream = head.unpack("CnCCN")
    frame = Frame.new(TYPES.key(type) || type, flags, stream & 0x7FFFFFFF, @wire.bytes((high << 16) | low))
    @log << frame
    take(frame)
    frame
  end

  # The next frame for which the block is true; those before it are taken too.
  def frame_that(what)
    loop do
      came = next_frame or raise HTTPResponse::Cut, "the connection was over before a frame that #{what} (so far: #{@log.last(8).join('; ')})"
      return came if yield came
    end
  end

  # The next GOAWAY, or one that has come and was not asked for.
  def goaway = @goaways.shift || frame_that("is GOAWAY") { |it| it.type == :goaway } && @goaways.shift

  # What has come on a stream so far. Does not wait.
  def stream(number) = @streams[number] ||= Response.new(number, [], nil, +"".b, nil, false, nil)

  # The response on a stream, when it is over: ended or reset.
  def response(number) = wait_for(number, "the end of stream #{number}", &:over?)

  # The response on a stream, when its head has come.
  def head(number) = wait_for(number, "the head of stream #{number}") { |it| it.fields || it.over? }

  # Takes frames until the block is true of a stream.
  def wait_for(number, what)
    until yield stream(number)
      next_frame or raise HTTPResponse::Cut.new("the connection was over before #{what} (so far: #{@log.last(8).join('; ')})", stream(number).body)
    end
    stream(number)
  end

  # Makes sure that the server has acted on all that was sent: it answers a PING. False when the connection ended before.
  def settled?(payload = "settled?")
    send_ping(payload)
    loop do
      came = next_frame or return false
      return true if came.type == :ping && came.ack? && came.payload == payload
    end
  rescue Errno::EPIPE, Errno::ECONNRESET
    nil while next_frame
    false
  end

  # Takes all frames up to the end of the connection, and returns them.
  def rest
    before = @log.size
    nil while next_frame
    @log.drop(before)
  end

  # Whether the connection is over, with no frame before that; waits for either.
  def ended? = @wire.ended?

  def close = @wire.close

  private

  # Nine bytes; nil when the connection ends before the first of them.
  def head_of_frame
    @wire.bytes(9)
  rescue HTTPResponse::Cut => cut
    raise unless cut.partial.empty?
  end

  def take(frame)
    raise "#{frame} within a field block" if @block && (frame.type != :continuation || frame.stream != @block_stream)

    case frame.type
    when :settings then take_settings(frame) unless frame.ack?
    when :ping then send_ping(frame.payload, ack: true) if @acknowledges && !frame.ack?
    when :goaway then @goaways << frame
    when :window_update then open_window(frame)
    when :headers, :continuation then take_block(frame)
    when :data then take_data(frame)
    when :rst_stream then stream(frame.stream).reset = frame.error
    end
  end

  def take_settings(frame)
    came = frame.settings
    if came[:initial_window_size]
      change = came[:initial_window_size] - @peer_settings.fetch(:initial_window_size, 65_535)
      @stream_windows.transform_values! { |window| window + change }
    end
    @peer_settings.merge!(came)
    answer { send_frame(:settings, flags: ACK) } if @acknowledges
  end

  def open_window(frame)
    if frame.stream.zero? then @window += frame.increment
    else @stream_windows[frame.stream] += frame.increment
    end
  end

  def take_block(frame)
    if frame.type == :headers
      @block = +"".b
      @block_stream = frame.stream
      @block_ends = frame.end_stream?
    end
    @block << frame.content
    return unless frame.end_headers?

    fields = @decoder.decode(@block)
    @block = nil
    keep(stream(frame.stream), fields)
  end

  def keep(response, fields)
    if response.fields then response.trailers = fields
    elsif fields.first.last.start_with?("1") then response.informational << fields
    else response.fields = fields
    end
    response.ended = true if @block_ends
  end

  def take_data(frame)
    response = stream(frame.stream)
    response.body << frame.content
    response.ended = true if frame.end_stream?
    return if !@opens_windows || frame.payload.empty?

    streams = response.ended ? [0] : [0, frame.stream]
    updates = streams.filter_map { |stream| due_update(stream, frame.payload.bytesize) }
    answer { write(updates.join) } if updates.any?
  end

  # Opens a window by what was taken, as clients do: not for each DATA.
  def due_update(stream, taken)
    @taken[stream] += taken
    return if @taken[stream] < 16_384

    HTTP2Wire.frame(:window_update, stream:, payload: [@taken.delete(stream)].pack("N"))
  end

  # An answer of ours, to a server that may have closed meanwhile: what it had said before is still to be read.
  def answer
    yield
  rescue Errno::EPIPE, Errno::ECONNRESET
    nil
  end
end
