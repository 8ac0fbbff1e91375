# frozen_string_literal: true

# The HPACK of the specs' own client, against the examples of RFC 7541, appendix C: what it calls wrong in a server has to be wrong.

RSpec.describe HPACK do
  def hex(text) = [text.delete(" ")].pack("H*")

  it "encodes and decodes all bytes in Huffman's code" do
    all = (0..255).map(&:chr).join.b

    expect(described_class::Huffman.decode(described_class::Huffman.encode(all))).to eq(all)
    expect(described_class::Huffman.encode("www.example.com")).to eq(hex("f1e3 c2e5 f23a 6ba0 ab90 f4ff"))
  end

  it "says numbers as C.1 does" do
    expect(described_class.integer(10, 5)).to eq(hex("0a"))
    expect(described_class.integer(1337, 5)).to eq(hex("1f9a0a"))
    expect(described_class.integer(42, 8)).to eq(hex("2a"))
  end

  it "reads the requests of C.4, with the table between them" do
    decoder = described_class::Decoder.new

    expect(decoder.decode(hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff")).last).to eq([":authority", "www.example.com"])
    expect(decoder.decode(hex("8286 84be 5886 a8eb 1064 9cbf")).last(2)).to eq([[":authority", "www.example.com"], %w[cache-control no-cache]])
    expect(decoder.decode(hex("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")))
      .to eq([[":method", "GET"], [":scheme", "https"], [":path", "/index.html"], [":authority", "www.example.com"], %w[custom-key custom-value]])
  end

  it "evicts as the responses of C.5 ask" do
    decoder = described_class::Decoder.new(256)
    decoder.decode(hex("4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d"))

    expect(decoder.decode(hex("4803 3330 37c1 c0bf")))
      .to eq([[":status", "307"], %w[cache-control private], ["date", "Mon, 21 Oct 2013 20:13:21 GMT"], %w[location https://www.example.com]])
    expect { decoder.decode(hex("c2")) }.to raise_error(described_class::Error, /index/)
  end

  it "refuses what is wrong" do
    { "80" => /index 0/, "ff00" => /index 127/, "8220" => /update/, "3fe2 1f" => /allowed/, "0003 61" => /of which/,
      "0081 ff 00" => /padding/, "0084 ffff ffff 00" => /end-of-text/, "ffff ffff ffff ffff" => /without end/ }.each do |block, error|
      expect { described_class::Decoder.new.decode(hex(block)) }.to raise_error(described_class::Error, error)
    end
  end
end
