# frozen_string_literal: true

# RFC 7541: a block that cannot be read is an error of the connection (RFC 9113, 4.3), because the tables of the two sides differ
# from there on. The code is COMPRESSION_ERROR there; h2 has PROTOCOL_ERROR, which says less and ends the connection as well.

errors = %i[compression_error protocol_error]
block = ->(c, more) { c.send_headers(1, HPACK.encode(c.fields("GET", "/")) + more) }

Conformance.section "RFC 7541 2.3.3" do
  connection_error("an index that is in neither table", *errors) { |c| block.call(c, HPACK.indexed(70)) }
  connection_error("a name with an index that is in neither table", *errors) { |c| block.call(c, HPACK.literal(70, "x")) }
  connection_error("an index beyond all tables", *errors) { |c| block.call(c, HPACK.indexed(1 << 31)) }
end

Conformance.section "RFC 7541 4.2" do
  connection_error("a size update behind fields", *errors) { |c| block.call(c, HPACK.table_size(1)) }

  connection_error "a size update between fields", *errors do |c|
    block.call(c, HPACK.table_size(1) + HPACK.literal("x-test", "ok"))
  end
end

Conformance.section "RFC 7541 5.1" do
  connection_error("a number without end", *errors) { |c| block.call(c, "\xFF".b + ("\x80".b * 20) + "\x01") }
  connection_error("a number beyond 32 bits", *errors) { |c| block.call(c, "\xFF".b + ("\xFF".b * 6) + "\x01") }
  connection_error("a number that is cut", *errors) { |c| block.call(c, "\xFF\x80".b) }
end

Conformance.section "RFC 7541 5.2" do
  # "a" in Huffman's code is 00011.
  connection_error("padding of 8 bits and more", *errors) { |c| block.call(c, "\x00\x01a\x82".b + HPACK::Huffman.pack("00011#{'1' * 11}")) }
  connection_error("padding of zeros", *errors) { |c| block.call(c, "\x00\x01a\x81".b + HPACK::Huffman.pack("00011000")) }
  connection_error("the symbol for the end", *errors) { |c| block.call(c, "\x00\x01a\x84".b + HPACK::Huffman.pack("#{'1' * 30}11")) }
  connection_error("a text longer than its block", *errors) { |c| block.call(c, "\x00\x01a\x7F\x00".b) }
  connection_error("a literal without its value", *errors) { |c| block.call(c, "\x00\x01a".b) }
end

Conformance.section "RFC 7541 6.1" do
  connection_error("index 0", *errors) { |c| block.call(c, HPACK.indexed(0)) }
end

Conformance.section "RFC 7541 6.3" do
  connection_error "a size update above HEADER_TABLE_SIZE", *errors do |c|
    c.send_headers(1, HPACK.table_size(c.peer_settings.fetch(:header_table_size, 4096) + 1) + HPACK.encode(c.fields("GET", "/")))
  end

  fine "a table of size 0 and back" do |c|
    c.send_headers(1, HPACK.table_size(0) + HPACK.encode(c.fields("GET", "/")))
    c.send_headers(3, HPACK.table_size(4096) + HPACK.encode(c.fields("GET", "/")))
    "status #{c.stream(3).status}" unless c.response(1).status == 200 && c.response(3).status == 200
  end

  connection_error "an entry that a smaller table has evicted", *errors do |c|
    c.send_headers(1, HPACK.encode(c.fields("GET", "/")) + HPACK.literal("x-test", "ok", indexing: :with))
    c.send_headers(3, HPACK.table_size(0) + HPACK.encode(c.fields("GET", "/")) + HPACK.indexed(62))
  end
end

Conformance.section "RFC 7541 4.1" do
  fine "a table of the server's that the client makes small is kept small" do |c|
    # The decoder of the specs refuses what is not in a table of that size.
    c.send_settings(header_table_size: 0)
    c.settled?
    3.times { c.get("/fields") }
    nil
  end

  fine "an entry larger than the table empties it" do |c|
    c.send_headers(1, HPACK.encode(c.fields("GET", "/header")) + HPACK.literal("x-test", "a" * 5000, indexing: :with))
    "#{c.stream(1).body.bytesize} bytes" unless c.response(1).body == "a" * 5000
  end
end
