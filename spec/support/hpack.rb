# frozen_string_literal: true

# HPACK (RFC 7541) for the specs: an encoder that can say each representation there is, right or wrong, and a strict decoder
# with its dynamic table.

module HPACK
  # What came is not HPACK.
  class Error < StandardError; end

  # RFC 7541, appendix A; the index of a field is its place here plus one.
  STATIC = [
    [":authority", ""], [":method", "GET"], [":method", "POST"], [":path", "/"], [":path", "/index.html"], [":scheme", "http"],
    [":scheme", "https"], [":status", "200"], [":status", "204"], [":status", "206"], [":status", "304"], [":status", "400"],
    [":status", "404"], [":status", "500"], ["accept-charset", ""], ["accept-encoding", "gzip, deflate"], ["accept-language", ""],
    ["accept-ranges", ""], ["accept", ""], ["access-control-allow-origin", ""], ["age", ""], ["allow", ""], ["authorization", ""],
    ["cache-control", ""], ["content-disposition", ""], ["content-encoding", ""], ["content-language", ""], ["content-length", ""],
    ["content-location", ""], ["content-range", ""], ["content-type", ""], ["cookie", ""], ["date", ""], ["etag", ""], ["expect", ""],
    ["expires", ""], ["from", ""], ["host", ""], ["if-match", ""], ["if-modified-since", ""], ["if-none-match", ""], ["if-range", ""],
    ["if-unmodified-since", ""], ["last-modified", ""], ["link", ""], ["location", ""], ["max-forwards", ""],
    ["proxy-authenticate", ""], ["proxy-authorization", ""], ["range", ""], ["referer", ""], ["refresh", ""], ["retry-after", ""],
    ["server", ""], ["set-cookie", ""], ["strict-transport-security", ""], ["transfer-encoding", ""], ["user-agent", ""], ["vary", ""],
    ["via", ""], ["www-authenticate", ""]
  ].each(&:freeze).freeze

  module_function

  # A number with a prefix of +bits+ bits (section 5.1); +flags+ are the bits before it.
  def integer(number, bits, flags = 0)
    limit = (1 << bits) - 1
    return [flags | number].pack("C") if number < limit

    rest = number - limit
    bytes = [flags | limit]
    while rest >= 128
      bytes << ((rest % 128) | 128)
      rest /= 128
    end
    (bytes << rest).pack("C*")
  end

  # A text (section 5.2), as it is or in Huffman's code.
  def text(bytes, huffman: false)
    bytes = bytes.b
    coded = huffman ? Huffman.encode(bytes) : bytes
    integer(coded.bytesize, 7, huffman ? 0x80 : 0) + coded
  end

  # A field of a table (6.1).
  def indexed(index) = integer(index, 7, 0x80)

  # A literal (6.2): +indexing+ is :with, :without or :never; +name+ is a text, or the index of a field with that name.
  def literal(name, value, indexing: :without, huffman: false)
    bits, flags = { with: [6, 0x40], without: [4, 0x00], never: [4, 0x10] }.fetch(indexing)
    start = name.is_a?(Integer) ? integer(name, bits, flags) : integer(0, bits, flags) + text(name, huffman:)
    start + text(value, huffman:)
  end

  # An update of the size of the dynamic table (6.3).
  def table_size(size) = integer(size, 5, 0x20)

  # A field block that needs no table: each field as a literal without indexing. Fields are pairs, or a hash; texts are taken as they are.
  def encode(fields) = fields.map { |name, value| literal(name, value) }.join.b

  # Reads the blocks of one connection.
  class Decoder
    # Size updates up to this are allowed: what was said in SETTINGS_HEADER_TABLE_SIZE.
    attr_accessor :limit

    def initialize(limit = 4096)
      @limit = @size_limit = limit
      @table = []
      @size = 0
    end

    # The fields of a whole block, as pairs.
    def decode(block)
      @bytes = block.b
      @at = 0
      fields = []
      fields.concat(field(updates: fields.empty?)) while @at < @bytes.bytesize
      fields
    end

    private

    def field(updates:)
      first = @bytes.getbyte(@at)
      if first >= 0x80 then [entry(number(7))]
      elsif first >= 0x40 then [add(read_literal(6))]
      elsif first >= 0x20 then update(number(5), updates)
      else [read_literal(4)]
      end
    end

    def update(size, allowed)
      raise Error, "an update of the table's size after a field" unless allowed
      raise Error, "a table of #{size} bytes where #{@limit} were allowed" if size > @limit

      @size_limit = size
      evict
      []
    end

    def read_literal(bits)
      index = number(bits)
      [index.zero? ? read_text : entry(index).first, read_text]
    end

    def entry(index)
      raise Error, "index 0" if index.zero?

      (index <= STATIC.size ? STATIC[index - 1] : @table[index - STATIC.size - 1]) or raise Error, "index #{index} of #{@table.size} in the dynamic table"
    end

    def add(field)
      @table.unshift(field)
      @size += size_of(field)
      evict
      field
    end

    def evict
      @size -= size_of(@table.pop) while @size > @size_limit
    end

    def size_of(field) = field.sum(&:bytesize) + 32

    def number(bits)
      limit = (1 << bits) - 1
      number = byte & limit
      return number if number < limit

      shift = 0
      loop do
        next_byte = byte
        number += (next_byte & 127) << shift
        return number if next_byte < 128

        shift += 7
        raise Error, "a number without end" if shift > 35
      end
    end

    def read_text
      huffman = @bytes.getbyte(@at).to_i >= 0x80
      length = number(7)
      raise Error, "a text of #{length} bytes, of which #{@bytes.bytesize - @at} came" if @at + length > @bytes.bytesize

      text = @bytes.byteslice(@at, length)
      @at += length
      huffman ? Huffman.decode(text) : text
    end

    def byte
      byte = @bytes.getbyte(@at) or raise Error, "the block ends within a field"
      @at += 1
      byte
    end
  end

  # The code of RFC 7541, appendix B. It is canonical: the lengths say all of it.
  module Huffman
    END_OF_TEXT = 256

    LENGTHS = [
      13, 23, *[28] * 7, 24, 30, 28, 28, 30, *[28] * 8, 30, *[28] * 9, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
      *[6] * 7, 7, 8, 15, 6, 12, 10, 13, 6, *[7] * 22, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7,
      6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, *[23] * 5, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23,
      23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
      22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21,
      26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, *[27] * 5, 28, *[27] * 5, 26, 30
    ].freeze

    # Symbol to the text of its bits.
    CODES = begin
      code = 0
      before = LENGTHS.min
      codes = {}
      LENGTHS.each_with_index.sort.each do |length, symbol|
        code <<= length - before
        before = length
        codes[symbol] = code.to_s(2).rjust(length, "0").freeze
        code += 1
      end
      codes.freeze
    end

    SYMBOLS = CODES.invert.freeze

    module_function

    def encode(bytes)
      bits = bytes.each_byte.map { |byte| CODES.fetch(byte) }.join
      pack(bits + "1" * (-bits.size % 8))
    end

    # Bits as a text of 0 and 1, as bytes; for what no encoder would say.
    def pack(bits) = [bits].pack("B*")

    # What a byte comes to behind the bits of a symbol that has begun, worked out once for each: the symbols, and the bits that are left.
    STEPS = Hash.new do |steps, begun|
      steps[begun] = Array.new(256) { |byte| step(begun, byte) }
    end

    def step(begun, byte)
      symbols = []
      left = format("%08b", byte).each_char.inject(begun) do |code, bit|
        code += bit
        symbol = SYMBOLS[code] or next code
        symbols << symbol
        ""
      end
      [symbols, left]
    end

    def decode(bytes)
      symbols = []
      left = bytes.each_byte.inject("") do |begun, byte|
        came, left = STEPS[begun][byte]
        symbols.concat(came)
        left
      end
      raise Error, "the end-of-text symbol in a text" if symbols.include?(END_OF_TEXT)
      raise Error, "padding of #{left.inspect}" unless left.size < 8 && left.delete("1").empty?

      symbols.pack("C*")
    end
  end
end
