# frozen_string_literal: true

# RFC 9113, section 8: what a request may be. What is malformed is an error of its stream (8.1.1), before which the server may answer
# with a status. Where the connection may end as well, it is h2 that finds the fault.

# A request of these fields alone.
request = ->(c, fields, end_stream: true) { c.send_headers(1, fields, end_stream:) && 1 }
get = ->(*more) { [[":method", "GET"], [":scheme", "http"], [":path", "/"], [":authority", "example.org"]] + more }

Conformance.section "RFC 9113 8.1" do
  stream_error "a second HEADERS that does not end the stream", :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_headers(1, [["x-test", "ok"]], end_stream: false)
    1
  end

  fine "trailers without a body" do |c|
    c.send_headers(1, c.fields("POST", "/echo"), end_stream: false)
    c.send_headers(1, [["x-test", "ok"]])
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end
end

Conformance.section "RFC 9113 8.1.1" do
  stream_error "a content-length above what comes in one DATA", :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo", { "content-length" => "5" }), end_stream: false)
    c.send_data(1, "test", end_stream: true)
    1
  end

  stream_error "a content-length below what comes in one DATA", :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo", { "content-length" => "1" }), end_stream: false)
    c.send_data(1, "test", end_stream: true)
    1
  end

  stream_error "a content-length below what comes in several DATA", :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo", { "content-length" => "7" }), end_stream: false)
    c.send_data(1, "test").send_data(1, "test", end_stream: true)
    1
  end

  stream_error "a content-length above what comes before trailers", :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo", { "content-length" => "5" }), end_stream: false)
    c.send_data(1, "test").send_headers(1, [["x-test", "ok"]])
    1
  end

  stream_error "a content-length and no body", :protocol_error do |c|
    request.call(c, get.call(%w[content-length 5]))
  end

  stream_error "a content-length that is no number", :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo", { "content-length" => "four" }), end_stream: false)
    c.send_data(1, "test", end_stream: true)
    1
  end

  stream_error "two content-lengths that differ", :protocol_error do |c|
    c.send_headers(1, c.fields("POST", "/echo", { "content-length" => %w[4 5] }), end_stream: false)
    c.send_data(1, "test", end_stream: true)
    1
  end

  fine "a content-length of 0 and no body" do |c|
    request.call(c, get.call(%w[content-length 0]))
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end
end

Conformance.section "RFC 9113 8.2" do
  { "an uppercase name" => "X-Test", "a name with an uppercase letter" => "x-tesT", "an empty name" => "", "a name with a blank" => "x test", "a name with a colon" => "x:test",
    "a name with a control character" => "x\x01", "a name with a byte beyond ASCII" => "x\xE9", "a name with a line's end" => "x\r\n" }.each do |what, name|
    any_error(what, :protocol_error) { |c| request.call(c, get.call([name, "ok"])) }
  end

  { "a NUL in a value" => "o\0k", "a line feed in a value" => "o\nk", "a carriage return in a value" => "o\rk", "a blank before a value" => " ok",
    "a blank behind a value" => "ok ", "a tab before a value" => "\tok", "a line's end behind a value" => "ok\r\n" }.each do |what, value|
    any_error(what, :protocol_error) { |c| request.call(c, get.call(["x-test", value])) }
  end
end

Conformance.section "RFC 9113 8.2.2" do
  { "connection" => "keep-alive", "keep-alive" => "timeout=5", "proxy-connection" => "keep-alive", "transfer-encoding" => "chunked", "upgrade" => "websocket" }.each do |name, value|
    stream_error("#{name}: #{value}", :protocol_error) { |c| request.call(c, get.call([name, value])) }
  end

  stream_error("te other than trailers", :protocol_error) { |c| request.call(c, get.call(["te", "trailers, deflate"])) }

  fine "te: trailers" do |c|
    request.call(c, get.call(%w[te trailers]))
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end
end

Conformance.section "RFC 9113 8.2.3" do
  fine "cookies in several fields are one" do |c|
    request.call(c, c.fields("GET", "/cookie", { "cookie" => ["a=b", "c=d", "e=f"] }))
    "body #{c.stream(1).body}" unless c.response(1).body == "a=b; c=d; e=f"
  end
end

Conformance.section "RFC 9113 8.3" do
  any_error("a pseudo-header that is not known", :protocol_error) { |c| request.call(c, [[":test", "ok"]] + get.call) }
  stream_error("a pseudo-header of responses", :protocol_error) { |c| request.call(c, [[":status", "200"]] + get.call) }
  stream_error("a pseudo-header behind a header", :protocol_error) { |c| request.call(c, [%w[x-test ok]] + get.call) }
  stream_error("a pseudo-header behind a header, alone", :protocol_error) { |c| request.call(c, get.call[0..2] + [%w[x-test ok], [":authority", "example.org"]]) }

  # h2 leaves it out of the trailers, so that it cannot be refused.
  fine "a pseudo-header in trailers, which reaches no app" do |c|
    c.send_headers(1, c.fields("POST", "/env"), end_stream: false)
    c.send_data(1, "test").send_headers(1, [[":method", "PUT"], [":path", "/other"]])
    "body #{c.stream(1).body}" unless c.response(1).body == "POST /env"
  end
end

Conformance.section "RFC 9113 8.3.1" do
  stream_error("an empty :path", :protocol_error) { |c| request.call(c, [[":method", "GET"], [":scheme", "http"], [":path", ""], [":authority", "example.org"]]) }
  stream_error("a :path that is no path", :protocol_error) { |c| request.call(c, [[":method", "GET"], [":scheme", "http"], [":path", "about"], [":authority", "example.org"]]) }
  stream_error("a :path of * for GET", :protocol_error) { |c| request.call(c, [[":method", "GET"], [":scheme", "http"], [":path", "*"], [":authority", "example.org"]]) }
  stream_error("a blank in :path", :protocol_error) { |c| request.call(c, [[":method", "GET"], [":scheme", "http"], [":path", "/a b"], [":authority", "example.org"]]) }
  stream_error("a line's end in :path", :protocol_error) { |c| request.call(c, [[":method", "GET"], [":scheme", "http"], [":path", "/ HTTP/1.1\r\nx: y"], [":authority", "example.org"]]) }
  any_error("a line's end in :method", :protocol_error) { |c| request.call(c, [[":method", "GET / HTTP/1.1\r\n"], [":scheme", "http"], [":path", "/"], [":authority", "example.org"]]) }
  any_error("an empty :method", :protocol_error) { |c| request.call(c, [[":method", ""], [":scheme", "http"], [":path", "/"], [":authority", "example.org"]]) }
  stream_error("a user in :authority", :protocol_error) { |c| request.call(c, [[":method", "GET"], [":scheme", "http"], [":path", "/"], [":authority", "me@example.org"]]) }
  stream_error("a :scheme that is none", :protocol_error) { |c| request.call(c, [[":method", "GET"], [":scheme", "h t"], [":path", "/"], [":authority", "example.org"]]) }
  stream_error("an :authority and a host that differ", :protocol_error) { |c| request.call(c, get.call(["host", "other.example"])) }
  refused("neither :authority nor host", :protocol_error) { |c| request.call(c, get.call[0..2]) }

  [":method", ":scheme", ":path"].each do |left_out|
    stream_error("no #{left_out}", :protocol_error) { |c| request.call(c, get.call.reject { |name, _| name == left_out }) }
  end

  [":method", ":scheme", ":path", ":authority"].each do |twice|
    stream_error("two #{twice}", :protocol_error) { |c| request.call(c, get.call.flat_map { |pair| pair.first == twice ? [pair, pair] : [pair] }) }
  end

  # h2 cuts it off where it reads the field, so that it cannot be refused as over HTTP/1.
  fine "a fragment in :path, which reaches no app" do |c|
    request.call(c, c.fields("GET", "/path#fragment"))
    "body #{c.stream(1).body}" unless c.response(1).body == "/path"
  end

  fine "host in place of :authority" do |c|
    request.call(c, get.call[0..2] + [%w[host example.org]])
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end

  fine "a host that is the same as :authority" do |c|
    request.call(c, get.call(%w[host example.org]))
    "status #{c.stream(1).status}" unless c.response(1).status == 200
  end
end

Conformance.section "RFC 9113 8.5" do
  stream_error("CONNECT with :path and :scheme", :protocol_error) { |c| request.call(c, [[":method", "CONNECT"], [":scheme", "http"], [":path", "/"], [":authority", "example.org:443"]]) }
  refused("CONNECT without :authority", :protocol_error) { |c| request.call(c, [[":method", "CONNECT"]]) }

  fine "CONNECT is refused, and not passed to the app" do |c|
    request.call(c, [[":method", "CONNECT"], [":authority", "example.org:443"]], end_stream: false)
    status = c.head(1).status
    next "status #{status}, reset #{c.stream(1).reset}" unless [400, 405, 501].include?(status) || c.stream(1).reset

    c.send_rst_stream(1) unless c.stream(1).over?
    nil
  end
end
