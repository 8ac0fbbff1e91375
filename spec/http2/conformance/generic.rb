# frozen_string_literal: true

# What every server has to take: each type of frame, each form of a request, each representation of HPACK.

Conformance.section "generic 1" do
  fine "answers the preface and SETTINGS with SETTINGS and an acknowledgement", handshake: false do |c|
    c.handshake
    "no SETTINGS" if c.peer_settings.empty?
  end

  fine "takes an empty SETTINGS as the preface's", handshake: false do |c|
    c.write(HTTP2Wire::PREFACE).send_frame(:settings)
    "no acknowledgement" unless c.frame_that("acknowledges") { |it| it.type == :settings && it.ack? }
  end
end

Conformance.section "generic 2" do
  fine "takes PRIORITY on an idle stream" do |c|
    c.send_frame(:priority, stream: 1, payload: HTTP2Wire.priority(weight: 255))
    nil
  end

  fine "takes WINDOW_UPDATE on a stream that is half closed by the client" do |c|
    c.send_headers(1, c.fields("GET", "/"))
    c.send_window_update(1, 100)
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end

  fine "takes PRIORITY on a stream that is half closed by the client" do |c|
    c.send_headers(1, c.fields("GET", "/"))
    c.send_frame(:priority, stream: 1, payload: HTTP2Wire.priority(weight: 255))
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end

  fine "takes RST_STREAM on a stream that is half closed by the client" do |c|
    c.send_headers(1, c.fields("GET", "/"))
    c.send_rst_stream(1)
    nil
  end

  fine "takes PRIORITY on a closed stream" do |c|
    c.get("/")
    c.send_frame(:priority, stream: 1, payload: HTTP2Wire.priority(weight: 255))
    nil
  end

  fine "takes WINDOW_UPDATE on a closed stream" do |c|
    c.get("/")
    c.send_window_update(1, 1)
    nil
  end

  fine "takes RST_STREAM on a closed stream" do |c|
    c.get("/")
    c.send_rst_stream(1)
    nil
  end
end

Conformance.section "generic 3.1" do
  fine "takes DATA" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_data(1, "test", end_stream: true)
    "body #{c.stream(1).body}" unless c.response(1).body == "test"
  end

  fine "takes several DATA" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_data(1, "te")
    c.send_data(1, "st", end_stream: true)
    "body #{c.stream(1).body}" unless c.response(1).body == "test"
  end

  fine "takes DATA with padding" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_frame(:data, stream: 1, flags: HTTP2Wire::PADDED | HTTP2Wire::END_STREAM, payload: HTTP2Wire.padded("test", 6))
    "body #{c.stream(1).body}" unless c.response(1).body == "test"
  end

  fine "takes DATA with the most padding there can be" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_frame(:data, stream: 1, flags: HTTP2Wire::PADDED | HTTP2Wire::END_STREAM, payload: HTTP2Wire.padded("test", 255))
    "body #{c.stream(1).body}" unless c.response(1).body == "test"
  end

  fine "takes DATA that is padding alone" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_frame(:data, stream: 1, flags: HTTP2Wire::PADDED, payload: HTTP2Wire.padded("", 10))
    c.send_data(1, "test", end_stream: true)
    "body #{c.stream(1).body}" unless c.response(1).body == "test"
  end

  fine "takes an empty DATA as the end" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_data(1, "test").send_data(1, "", end_stream: true)
    "body #{c.stream(1).body}" unless c.response(1).body == "test"
  end
end

Conformance.section "generic 3.2" do
  fine "takes HEADERS" do |c|
    c.send_headers(1, c.fields("GET", "/"))
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end

  fine "takes HEADERS with padding" do |c|
    c.send_frame(:headers, stream: 1, flags: 0x5 | HTTP2Wire::PADDED, payload: HTTP2Wire.padded(HPACK.encode(c.fields("GET", "/")), 10))
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end

  fine "takes HEADERS with priority" do |c|
    c.send_frame(:headers, stream: 1, flags: 0x5 | HTTP2Wire::PRIORITY, payload: HTTP2Wire.priority(weight: 255) + HPACK.encode(c.fields("GET", "/")))
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end

  fine "takes HEADERS with padding and priority" do |c|
    payload = HTTP2Wire.padded(HTTP2Wire.priority(depends_on: 3, exclusive: true) + HPACK.encode(c.fields("GET", "/")), 7)
    c.send_frame(:headers, stream: 1, flags: 0x5 | HTTP2Wire::PADDED | HTTP2Wire::PRIORITY, payload:)
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end
end

Conformance.section "generic 3.3" do
  {
    "weight 1" => { weight: 0 }, "weight 256" => { weight: 255 }, "a stream that it depends on" => { depends_on: 3 },
    "an exclusive dependency" => { depends_on: 3, exclusive: true }
  }.each do |what, priority|
    fine "takes PRIORITY with #{what}" do |c|
      c.send_frame(:priority, stream: 1, payload: HTTP2Wire.priority(**priority))
      nil
    end
  end
end

Conformance.section "generic 3.4" do
  fine "takes RST_STREAM" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_rst_stream(1)
    nil
  end
end

Conformance.section "generic 3.5" do
  fine "acknowledges SETTINGS" do |c|
    c.send_settings(initial_window_size: 70_000)
    "no acknowledgement" unless c.frame_that("acknowledges") { |it| it.type == :settings && it.ack? }
  end
end

Conformance.section "generic 3.7" do
  fine "answers PING with its payload" do |c|
    c.send_ping("h2 tests")
    "no answer" unless c.frame_that("answers PING") { |it| it.type == :ping && it.ack? && it.payload == "h2 tests" }
  end
end

Conformance.section "generic 3.8" do
  fine "finishes what is under way when the client says GOAWAY" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_goaway
    c.send_data(1, "test", end_stream: true)
    c.response(1).body == "test" ? :over : "body #{c.stream(1).body}"
  end
end

Conformance.section "generic 3.9" do
  fine "takes WINDOW_UPDATE for the connection" do |c|
    c.send_window_update(0, 1)
    nil
  end

  fine "takes WINDOW_UPDATE for a stream" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_window_update(1, 1)
    c.send_data(1, "test", end_stream: true)
    "body #{c.stream(1).body}" unless c.response(1).body == "test"
  end
end

Conformance.section "generic 3.10" do
  fine "takes a CONTINUATION" do |c|
    c.send_headers(1, c.fields("GET", "/header"), end_headers: false)
    c.send_continuation(1, [["x-test", "one"]])
    "body #{c.stream(1).body}" unless c.response(1).body == "one"
  end

  fine "takes several CONTINUATION, cut within a field" do |c|
    block = HPACK.encode(c.fields("GET", "/header", { "x-test" => "a text" }))
    first, second, third = block.byteslice(0, 20), block.byteslice(20, block.bytesize - 23), block.byteslice(-3, 3)
    c.send_headers(1, first, end_headers: false).send_continuation(1, second, end_headers: false).send_continuation(1, third)
    "body #{c.stream(1).body}" unless c.response(1).body == "a text"
  end

  fine "takes an empty CONTINUATION at the end" do |c|
    c.send_headers(1, c.fields("GET", "/"), end_headers: false).send_continuation(1, "")
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end
end

Conformance.section "generic 4" do
  fine "answers GET" do |c|
    c.get("/").body == "ok" ? nil : "body #{c.stream(1).body}"
  end

  fine "answers HEAD without a body" do |c|
    response = c.ask("HEAD", "/")
    "#{response.status} #{response.body.inspect}" unless response.status == 200 && response.body.empty?
  end

  fine "answers POST" do |c|
    c.post("/echo", "test").body == "test" ? nil : "body #{c.stream(1).body}"
  end

  fine "answers POST with trailers" do |c|
    c.ask("POST", "/echo", body: "test", trailers: { "x-test" => "ok" }).body == "test" ? nil : "body #{c.stream(1).body}"
  end

  fine "answers OPTIONS *" do |c|
    c.ask("OPTIONS", "*").status == 200 ? nil : "status #{c.stream(1).status}"
  end

  fine "answers streams that overlap" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_headers(3, c.fields("POST", "/echo"), end_stream: false)
    c.send_data(3, "three", end_stream: true).send_data(1, "one", end_stream: true)
    bodies = [c.response(1).body, c.response(3).body]
    bodies.inspect unless bodies == %w[one three]
  end
end

Conformance.section "generic 5" do
  pseudo = HPACK.indexed(2) + HPACK.indexed(6) + HPACK.literal(4, "/header") + HPACK.literal(1, "example.org")
  {
    "an indexed field of the static table" => HPACK.literal("x-test", "ok") + HPACK.indexed(16),
    "a literal with indexing, its name indexed" => HPACK.literal("x-test", "ok") + HPACK.literal(58, "agent", indexing: :with),
    "a literal with indexing, its name new" => HPACK.literal("x-test", "ok", indexing: :with),
    "a literal with indexing, in Huffman's code" => HPACK.literal("x-test", "ok", indexing: :with, huffman: true),
    "a literal without indexing, its name indexed" => HPACK.literal("x-test", "ok") + HPACK.literal(58, "agent"),
    "a literal without indexing, its name new" => HPACK.literal("x-test", "ok"),
    "a literal without indexing, in Huffman's code" => HPACK.literal("x-test", "ok", huffman: true),
    "a literal never indexed, its name indexed" => HPACK.literal("x-test", "ok") + HPACK.literal(58, "agent", indexing: :never),
    "a literal never indexed, its name new" => HPACK.literal("x-test", "ok", indexing: :never),
    "a literal never indexed, in Huffman's code" => HPACK.literal("x-test", "ok", indexing: :never, huffman: true),
    "an indexed field of the dynamic table" => HPACK.literal("x-before", "1", indexing: :with) + HPACK.literal("x-test", "ok") + HPACK.indexed(62),
    "a name of the dynamic table" => HPACK.literal("x-test", "ok", indexing: :with).then { |field| HPACK.literal("x-other", "1", indexing: :with) + field + HPACK.literal(63, "2") },
    "a field with an empty value" => HPACK.literal("x-test", "ok") + HPACK.literal("x-empty", ""),
    "numbers longer than they need be" => HPACK.literal("x-test", "ok") + "\x00\x01a\x7F\x81\x80\x00".b + "b" * 128
  }.each do |what, block|
    fine "reads #{what}" do |c|
      c.send_headers(1, pseudo + block)
      "#{c.stream(1).status} #{c.stream(1).body}" unless c.response(1).body == "ok"
    end
  end

  fine "reads a size update at the beginning of a block" do |c|
    c.send_headers(1, HPACK.table_size(128) + pseudo + HPACK.literal("x-test", "ok"))
    "#{c.stream(1).status} #{c.stream(1).body}" unless c.response(1).body == "ok"
  end

  fine "reads two size updates at the beginning of a block" do |c|
    c.send_headers(1, HPACK.table_size(128) + HPACK.table_size(4096) + pseudo + HPACK.literal("x-test", "ok"))
    "#{c.stream(1).status} #{c.stream(1).body}" unless c.response(1).body == "ok"
  end

  fine "keeps the dynamic table from block to block" do |c|
    c.send_headers(1, pseudo + HPACK.literal("x-test", "ok", indexing: :with))
    c.send_headers(3, pseudo + HPACK.indexed(62))
    bodies = [c.response(1).body, c.response(3).body]
    bodies.inspect unless bodies == %w[ok ok]
  end

  fine "keeps the dynamic table of a block whose stream it refuses" do |c|
    c.send_headers(1, pseudo + HPACK.literal("x-test", "ok", indexing: :with) + HPACK.literal("connection", "close"))
    c.send_headers(3, pseudo + HPACK.indexed(62))
    "#{c.stream(3).status} #{c.stream(3).body}" unless c.response(3).body == "ok"
  end
end
