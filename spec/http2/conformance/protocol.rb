# frozen_string_literal: true

# RFC 9113, sections 3 to 7: the connection, its frames and its streams. Where PROTOCOL_ERROR is allowed beside the error that the RFC
# names, h2 finds the fault and says less than it could.

# A stream that the client has ended and that waits for the app; the server answers it later.
half_closed = lambda do |c|
  c.send_headers(1, c.fields("GET", "/later"))
  c.settled?
end

Conformance.section "RFC 9113 3.4" do
  closed "a preface that is none", handshake: false do |c|
    c.write("INVALID CONNECTION PREFACE\r\n\r\n")
  end

  closed "a preface that goes wrong at its end", handshake: false do |c|
    c.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX").send_settings
  end

  connection_error "a preface without SETTINGS", :protocol_error, handshake: false do |c|
    c.write(HTTP2Wire::PREFACE).send_ping
  end

  fine "a preface byte by byte", handshake: false do |c|
    c.write(HTTP2Wire::PREFACE.byteslice(0, 1))
    HTTP2Wire::PREFACE.byteslice(1..).each_char { |byte| c.write(byte) }
    c.send_settings
    "no acknowledgement" unless c.frame_that("acknowledges") { |it| it.type == :settings && it.ack? }
  end
end

Conformance.section "RFC 9113 4.1" do
  fine "a frame of an unknown type" do |c|
    c.send_frame(0x16, payload: "\0" * 8)
    nil
  end

  fine "a frame of an unknown type on a stream" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_frame(0xFF, stream: 1, flags: 0xFF, payload: "x")
    c.send_data(1, "test", end_stream: true)
    "body #{c.stream(1).body}" unless c.response(1).body == "test"
  end

  fine "a flag that is not defined" do |c|
    c.send_frame(:ping, flags: 0x16, payload: "\0" * 8)
    "no answer" unless c.frame_that("answers PING") { |it| it.type == :ping && it.ack? }
  end

  fine "undefined flags of DATA and HEADERS" do |c|
    c.send_frame(:headers, stream: 1, flags: 0x4 | 0xD2 & ~0x28, payload: HPACK.encode(c.fields("POST", "/echo")))
    c.send_frame(:data, stream: 1, flags: 0x1 | 0xF6, payload: "test")
    "body #{c.stream(1).body}" unless c.response(1).body == "test"
  end

  fine "the reserved bit of a stream's number" do |c|
    c.send_frame(:ping, stream: 1 << 31, payload: "\0" * 8)
    "no answer" unless c.frame_that("answers PING") { |it| it.type == :ping && it.ack? }
  end
end

Conformance.section "RFC 9113 4.2" do
  fine "DATA of 16,384 bytes" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_data(1, "x" * 16_384, end_stream: true)
    "#{c.stream(1).body.bytesize} bytes" unless c.response(1).body.bytesize == 16_384
  end

  any_error "DATA of 16,385 bytes", :frame_size_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_data(1, "x" * 16_385, end_stream: true)
    1
  end

  connection_error "HEADERS of more than 16,384 bytes", :frame_size_error do |c|
    c.send_headers(1, c.fields("GET", "/", (1..5).to_h { |number| ["x-#{number}", "x" * 4000] }))
  end

  connection_error "CONTINUATION of more than 16,384 bytes", :frame_size_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false)
    c.send_continuation(1, (1..5).to_h { |number| ["x-#{number}", "x" * 4000] })
  end

  connection_error "SETTINGS of more than 16,384 bytes", :frame_size_error do |c|
    c.send_frame(:settings, payload: "\0\x42\0\0\0\0" * 2731)
  end

  connection_error "a frame that says it has 2^24 - 1 bytes", :frame_size_error do |c|
    c.send_frame(:headers, stream: 1, flags: 0x5, length: (1 << 24) - 1)
  end

  connection_error "a frame of an unknown type with more than 16,384 bytes", :frame_size_error do |c|
    c.send_frame(0x16, payload: "x" * 16_385)
  end
end

Conformance.section "RFC 9113 4.3" do
  connection_error "a field block that is no HPACK", :compression_error, :protocol_error do |c|
    c.send_headers(1, "\x00\x01:\x07".b)
  end

  connection_error "PRIORITY within a field block", :protocol_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false)
    c.send_frame(:priority, stream: 1, payload: HTTP2Wire.priority)
  end

  connection_error "HEADERS of another stream within a field block", :protocol_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false)
    c.send_headers(3, c.fields("GET", "/"))
  end

  connection_error "PING within a field block", :protocol_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false).send_ping
  end

  connection_error "SETTINGS within a field block", :protocol_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false).send_settings
  end

  connection_error "a second HEADERS of the same stream within a field block", :protocol_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false).send_headers(1, [["x-a", "1"]])
  end

  connection_error "RST_STREAM within a field block", :protocol_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false).send_rst_stream(1)
  end

  connection_error "GOAWAY within a field block", :protocol_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false).send_goaway
  end

  connection_error "WINDOW_UPDATE within a field block", :protocol_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false).send_window_update(0, 1)
  end
end

Conformance.section "RFC 9113 5.1, idle" do
  connection_error("DATA", :protocol_error, :stream_closed) { |c| c.send_data(1, "test", end_stream: true) }
  connection_error("RST_STREAM", :protocol_error) { |c| c.send_rst_stream(1) }
  connection_error("WINDOW_UPDATE", :protocol_error) { |c| c.send_window_update(1, 100) }
  connection_error("CONTINUATION", :protocol_error) { |c| c.send_continuation(1, c.fields("GET", "/")) }

  connection_error "DATA beyond the streams that were opened", :protocol_error, :stream_closed do |c|
    c.get("/")
    c.send_data(5, "test", end_stream: true)
  end
end

Conformance.section "RFC 9113 5.1, half closed by the client" do
  any_error "DATA", :stream_closed, :protocol_error do |c|
    half_closed.call(c)
    c.send_data(1, "test", end_stream: true)
    1
  end

  any_error "HEADERS", :stream_closed, :protocol_error do |c|
    half_closed.call(c)
    c.send_headers(1, [["x-late", "1"]])
    1
  end

  connection_error "CONTINUATION", :protocol_error, :stream_closed do |c|
    half_closed.call(c)
    c.send_continuation(1, [["x-late", "1"]])
  end
end

Conformance.section "RFC 9113 5.1, closed" do
  any_error "DATA after RST_STREAM", :stream_closed do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_rst_stream(1).send_data(1, "test", end_stream: true)
    1
  end

  any_error "HEADERS after RST_STREAM", :stream_closed, :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_rst_stream(1).send_headers(1, c.fields("GET", "/"))
    1
  end

  connection_error "CONTINUATION after RST_STREAM", :protocol_error, :stream_closed do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_rst_stream(1).send_continuation(1, [["x-late", "1"]])
  end

  any_error "DATA after the end of both", :stream_closed do |c|
    c.get("/")
    c.send_data(1, "test", end_stream: true)
    1
  end

  any_error "HEADERS after the end of both", :stream_closed, :protocol_error do |c|
    c.get("/")
    c.send_headers(1, c.fields("GET", "/"))
    1
  end

  connection_error "CONTINUATION after the end of both", :protocol_error, :stream_closed do |c|
    c.get("/")
    c.send_continuation(1, [["x-late", "1"]])
  end
end

Conformance.section "RFC 9113 5.1.1" do
  connection_error("a stream with an even number", :protocol_error) { |c| c.send_headers(2, c.fields("GET", "/")) }

  connection_error "a stream with a lower number than the last", :protocol_error, :stream_closed do |c|
    c.send_headers(5, c.fields("GET", "/"))
    c.response(5)
    c.send_headers(3, c.fields("GET", "/"))
  end

  fine "streams whose numbers leave some out" do |c|
    c.send_headers(101, c.fields("GET", "/"))
    "status #{c.stream(101).status}" unless c.response(101).status == 200
  end

  fine "the last stream there can be" do |c|
    c.send_headers((1 << 31) - 1, c.fields("GET", "/"))
    c.response((1 << 31) - 1).status == 200 ? :over : "status #{c.stream((1 << 31) - 1).status}"
  end
end

Conformance.section "RFC 9113 5.1.2" do
  fine "more streams than are allowed" do |c|
    most = c.peer_settings.fetch(:max_concurrent_streams)
    streams = (0..most).map { |number| (2 * number) + 1 }
    streams.each { |stream| c.send_headers(stream, c.fields("POST", "/echo"), end_stream: false) }
    reset = c.response(streams.last).reset
    next "the last got #{reset || c.stream(streams.last).status}" unless %i[refused_stream protocol_error].include?(reset)

    streams.each { |stream| c.send_rst_stream(stream) unless stream == streams.last }
    nil
  end
end

Conformance.section "RFC 9113 5.3" do
  fine "HEADERS with a priority that depends on its own stream" do |c|
    c.send_frame(:headers, stream: 1, flags: 0x5 | HTTP2Wire::PRIORITY, payload: HTTP2Wire.priority(depends_on: 1) + HPACK.encode(c.fields("GET", "/")))
    reset = c.response(1).reset
    # RFC 9113 has no such error any more, RFC 7540 (5.3.1) has.
    "reset with #{reset}" unless reset == :protocol_error || c.stream(1).status == 200
  end
end

Conformance.section "RFC 9113 5.4.1" do
  connection_error("an error of the connection is followed by its end", :protocol_error) { |c| c.send_frame(:ping, stream: 1, payload: "\0" * 8) }

  fine "GOAWAY names the last stream that was opened" do |c|
    c.get("/")
    c.get("/")
    c.send_frame(:ping, stream: 1, payload: "\0" * 8)
    last = c.goaway.last_stream
    last == 3 ? :over : "last stream #{last}"
  end
end

Conformance.section "RFC 9113 5.5" do
  fine "an unknown type before a request" do |c|
    c.send_frame(0xFF, payload: "unknown")
    nil
  end

  connection_error "an unknown type within a field block", :protocol_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false)
    c.send_frame(0xFF, payload: "unknown")
  end
end

Conformance.section "RFC 9113 6.1" do
  connection_error("DATA on stream 0", :protocol_error) { |c| c.send_data(0, "test", end_stream: true) }

  connection_error "DATA with as much padding as payload", :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_frame(:data, stream: 1, flags: HTTP2Wire::PADDED | HTTP2Wire::END_STREAM, payload: HTTP2Wire.padded("test", 0, length: 5))
  end

  connection_error "DATA that has padding and no length of it", :protocol_error, :frame_size_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_frame(:data, stream: 1, flags: HTTP2Wire::PADDED)
  end
end

Conformance.section "RFC 9113 6.2" do
  connection_error("HEADERS on stream 0", :protocol_error) { |c| c.send_headers(0, c.fields("GET", "/")) }

  connection_error "HEADERS with more padding than payload", :protocol_error do |c|
    c.send_frame(:headers, stream: 1, flags: 0x5 | HTTP2Wire::PADDED, payload: HTTP2Wire.padded(HPACK.encode(c.fields("GET", "/")), 0, length: 255))
  end

  connection_error "HEADERS with a priority that is cut", :protocol_error, :frame_size_error do |c|
    c.send_frame(:headers, stream: 1, flags: 0x5 | HTTP2Wire::PRIORITY, payload: "\0\0")
  end

  connection_error "HEADERS without a byte, but for the length of its padding", :protocol_error, :frame_size_error do |c|
    c.send_frame(:headers, stream: 1, flags: 0x5 | HTTP2Wire::PADDED)
  end
end

Conformance.section "RFC 9113 6.3" do
  connection_error("PRIORITY on stream 0", :protocol_error) { |c| c.send_frame(:priority, payload: HTTP2Wire.priority) }

  any_error "PRIORITY of 4 bytes", :frame_size_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_frame(:priority, stream: 1, payload: "\0" * 4)
    1
  end

  any_error "PRIORITY of 6 bytes", :frame_size_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_frame(:priority, stream: 1, payload: "\0" * 6)
    1
  end
end

Conformance.section "RFC 9113 6.4" do
  connection_error("RST_STREAM on stream 0", :protocol_error) { |c| c.send_rst_stream(0) }
  connection_error("RST_STREAM on an idle stream", :protocol_error) { |c| c.send_rst_stream(1) }

  [3, 5].each do |length|
    connection_error "RST_STREAM of #{length} bytes", :frame_size_error do |c|
      c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
      c.send_frame(:rst_stream, stream: 1, payload: "\0" * length)
    end
  end
end

Conformance.section "RFC 9113 6.5" do
  connection_error("SETTINGS with ACK and a payload", :frame_size_error) { |c| c.send_frame(:settings, flags: 1, payload: "\0\1\0\0\0\0") }
  connection_error("SETTINGS on a stream", :protocol_error) { |c| c.send_frame(:settings, stream: 1) }
  connection_error("SETTINGS of 3 bytes", :frame_size_error) { |c| c.send_frame(:settings, payload: "\0\3\0") }
  connection_error("SETTINGS of 7 bytes", :frame_size_error) { |c| c.send_frame(:settings, payload: "\0" * 7) }
  connection_error("an ACK of SETTINGS on a stream", :protocol_error) { |c| c.send_frame(:settings, stream: 1, flags: 1) }
end

Conformance.section "RFC 9113 6.5.2" do
  connection_error("ENABLE_PUSH of 2", :protocol_error) { |c| c.send_settings(enable_push: 2) }
  connection_error("INITIAL_WINDOW_SIZE of 2^31", :flow_control_error, :protocol_error) { |c| c.send_settings(initial_window_size: 1 << 31) }
  connection_error("MAX_FRAME_SIZE of 16,383", :protocol_error) { |c| c.send_settings(max_frame_size: 16_383) }
  connection_error("MAX_FRAME_SIZE of 2^24", :protocol_error) { |c| c.send_settings(max_frame_size: 1 << 24) }
  connection_error("ENABLE_CONNECT_PROTOCOL of 2", :protocol_error) { |c| c.send_settings(enable_connect_protocol: 2) }

  fine "a setting that is not known" do |c|
    c.send_settings(0xFF => 1, 0x1A2A => 5)
    "no acknowledgement" unless c.frame_that("acknowledges") { |it| it.type == :settings && it.ack? }
  end

  { enable_push: 0, header_table_size: 0, max_concurrent_streams: 0, initial_window_size: (1 << 31) - 1, max_frame_size: (1 << 24) - 1, max_header_list_size: 1 << 20 }.each do |name, value|
    fine "#{name} of #{value}" do |c|
      c.send_settings(name => value)
      "no acknowledgement" unless c.frame_that("acknowledges") { |it| it.type == :settings && it.ack? }
    end
  end
end

Conformance.section "RFC 9113 6.5.3" do
  fine "a setting that comes twice, of which the last counts" do |c|
    c.send_settings([[:initial_window_size, 100], [:initial_window_size, 1]])
    c.send_headers(1, c.fields("GET", "/"))
    data = c.frame_that("is DATA") { |it| it.type == :data }
    next "DATA of #{data.payload.bytesize}" unless data.payload.bytesize == 1

    c.send_settings(initial_window_size: 65_535)
    "body #{c.stream(1).body}" unless c.response(1).body == "ok"
  end

  fine "each SETTINGS is acknowledged" do |c|
    3.times { c.send_settings(header_table_size: 4096) }
    c.settled?
    acks = c.log.count { |it| it.type == :settings && it.ack? }
    "#{acks} acknowledgements" unless acks == 4
  end
end

Conformance.section "RFC 9113 6.6" do
  connection_error "PUSH_PROMISE from a client", :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_frame(:push_promise, stream: 1, flags: 0x4, payload: [2].pack("N") + HPACK.encode(c.fields("GET", "/")))
  end
end

Conformance.section "RFC 9113 6.7" do
  fine "PING is answered with what it has" do |c|
    c.send_ping("12345678")
    "no answer" unless c.frame_that("answers PING") { |it| it.type == :ping && it.ack? && it.payload == "12345678" }
  end

  fine "an answer to PING is not answered" do |c|
    c.send_ping("unasked!", ack: true).send_ping("asked ..")
    first = c.frame_that("is PING") { |it| it.type == :ping }
    "#{first.payload} was answered" unless first.payload == "asked .."
  end

  connection_error("PING on a stream", :protocol_error) { |c| c.send_frame(:ping, stream: 1, payload: "\0" * 8) }
  connection_error("PING of 6 bytes", :frame_size_error) { |c| c.send_frame(:ping, payload: "\0" * 6) }
  connection_error("PING of 9 bytes", :frame_size_error) { |c| c.send_frame(:ping, payload: "\0" * 9) }
  connection_error("PING without a byte", :frame_size_error) { |c| c.send_frame(:ping) }
end

Conformance.section "RFC 9113 6.8" do
  connection_error("GOAWAY on a stream", :protocol_error) { |c| c.send_frame(:goaway, stream: 1, payload: "\0" * 8) }
  connection_error("GOAWAY of 7 bytes", :frame_size_error) { |c| c.send_frame(:goaway, payload: "\0" * 7) }

  fine "GOAWAY with something to read for people" do |c|
    c.send_headers(1, c.fields("GET", "/"))
    c.send_frame(:goaway, payload: "#{"\0" * 8}goodbye")
    c.response(1).status == 200 ? :over : "status #{c.stream(1).status}"
  end
end

Conformance.section "RFC 9113 6.9" do
  connection_error("WINDOW_UPDATE of 0 for the connection", :protocol_error) { |c| c.send_window_update(0, 0) }

  any_error "WINDOW_UPDATE of 0 for a stream", :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_window_update(1, 0)
    1
  end

  [3, 5].each do |length|
    connection_error("WINDOW_UPDATE of #{length} bytes", :frame_size_error) { |c| c.send_frame(:window_update, payload: "\0" * length) }
  end
end

Conformance.section "RFC 9113 6.9.1" do
  fine "no more DATA than the stream's window has room for" do |c|
    c.send_settings(initial_window_size: 1)
    c.send_headers(1, c.fields("GET", "/"))
    c.opens_windows = false
    data = c.frame_that("is DATA") { |it| it.type == :data }
    next "DATA of #{data.payload.bytesize}" unless data.payload.bytesize == 1

    c.settled?
    next "more DATA: #{c.stream(1).body}" unless c.stream(1).body == "o"

    c.send_window_update(1, 1)
    next "body #{c.stream(1).body}" unless c.response(1).body == "ok"

    c.opens_windows = true
    c.send_settings(initial_window_size: 65_535)
    nil
  end

  fine "no more DATA than the connection's window has room for" do |c|
    c.send_settings(initial_window_size: 1 << 20)
    c.opens_windows = false
    c.send_headers(1, c.fields("GET", "/big"))
    c.wait_for(1, "a connection's window of DATA") { |it| it.body.bytesize >= 65_535 }
    c.settled?
    next "#{c.stream(1).body.bytesize} bytes" unless c.stream(1).body.bytesize == 65_535

    c.send_window_update(0, 1 << 20)
    c.response(1).body.bytesize == 200_000 ? nil : "#{c.stream(1).body.bytesize} bytes"
  end

  fine "a stream without a window leaves others theirs" do |c|
    c.send_settings(initial_window_size: 0)
    c.send_headers(1, c.fields("GET", "/big"))
    c.send_headers(3, c.fields("GET", "/"))
    c.send_window_update(3, 100)
    next "body #{c.stream(3).body}" unless c.response(3).body == "ok"

    c.send_rst_stream(1).send_settings(initial_window_size: 65_535)
    nil
  end

  fine "the end of a stream without a window" do |c|
    c.send_settings(initial_window_size: 0)
    c.send_headers(1, c.fields("GET", "/empty"))
    next "status #{c.stream(1).status}" unless c.response(1).status == 200

    c.send_settings(initial_window_size: 65_535)
    nil
  end

  connection_error("a window of the connection above 2^31 - 1", :flow_control_error) { |c| 2.times { c.send_window_update(0, (1 << 31) - 1) } }

  any_error "a window of a stream above 2^31 - 1", :flow_control_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    2.times { c.send_window_update(1, (1 << 31) - 1) }
    1
  end
end

Conformance.section "RFC 9113 6.9.2" do
  fine "a larger INITIAL_WINDOW_SIZE counts for streams that are open" do |c|
    c.send_settings(initial_window_size: 0)
    c.send_headers(1, c.fields("GET", "/"))
    c.settled?
    c.send_settings(initial_window_size: 1)
    data = c.frame_that("is DATA") { |it| it.type == :data }
    next "DATA of #{data.payload.bytesize}" unless data.payload.bytesize == 1

    c.send_settings(initial_window_size: 65_535)
    "body #{c.stream(1).body}" unless c.response(1).body == "ok"
  end

  fine "a window below 0 is waited out" do |c|
    c.send_settings(initial_window_size: 3)
    c.opens_windows = false
    c.send_headers(1, c.fields("GET", "/big"))
    c.wait_for(1, "3 bytes") { |it| it.body.bytesize == 3 }
    c.send_settings(initial_window_size: 2)
    c.send_window_update(1, 1)
    c.settled?
    next "#{c.stream(1).body.bytesize} bytes" unless c.stream(1).body.bytesize == 3

    c.send_window_update(1, 1)
    c.wait_for(1, "another byte") { |it| it.body.bytesize == 4 }
    c.send_rst_stream(1).send_settings(initial_window_size: 65_535)
    nil
  end

  connection_error "an INITIAL_WINDOW_SIZE that makes a stream's window too large", :flow_control_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_window_update(1, (1 << 31) - 1 - 65_535)
    c.send_settings(initial_window_size: 65_536)
  end
end

Conformance.section "RFC 9113 6.10" do
  connection_error "CONTINUATION on stream 0", :protocol_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false).send_continuation(0, [["x-a", "1"]])
  end

  connection_error "CONTINUATION of another stream", :protocol_error do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false).send_continuation(3, [["x-a", "1"]])
  end

  connection_error "DATA behind a CONTINUATION that is not the last", :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_headers: false, end_stream: false)
    c.send_continuation(1, [["x-a", "1"]], end_headers: false).send_data(1, "test")
  end

  connection_error "CONTINUATION behind a HEADERS that was whole", :protocol_error, :stream_closed do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false).send_continuation(1, [["x-a", "1"]])
  end

  connection_error "CONTINUATION behind the last CONTINUATION", :protocol_error, :stream_closed do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_headers: false, end_stream: false)
    2.times { c.send_continuation(1, [["x-a", "1"]]) }
  end

  connection_error "CONTINUATION behind DATA", :protocol_error, :stream_closed do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_data(1, "test").send_continuation(1, [["x-a", "1"]])
  end
end

Conformance.section "RFC 9113 7" do
  fine "GOAWAY with an error that is not known" do |c|
    c.send_headers(1, c.fields("GET", "/"))
    c.send_goaway(error: 0xFF)
    c.rest
    :over
  end

  fine "RST_STREAM with an error that is not known" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_rst_stream(1, 0xFF)
    nil
  end
end
