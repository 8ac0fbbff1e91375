# frozen_string_literal: true

require "json"

RSpec.describe Tidegate::Printable do
  describe ".line" do
    {
      "plain \u00E4 \u{1F600} text \\n" => "plain \u00E4 \u{1F600} text \\n",
      "a\nb\r\tc" => 'a\nb\r\tc',
      "\e[2J\0\x7F" => '\x1b[2J\x00\x7f',
      "\u0085\u009B2J\u2028\u2029" => '\u0085\u009b2J\u2028\u2029',
      "a\u202Eb\u2066c\u200F" => 'a\u202eb\u2066c\u200f',
      "\xFF\xC3" => '\xff\xc3',
      "\x9B2J\xC3\xA4".b => "\\x9b2J\u00E4",
      "caf\xE9".dup.force_encoding("ISO-8859-1") => "caf\u00E9",
      "a\nb".encode("UTF-16LE") => 'a\nb',
      "a\xD8".dup.force_encoding("UTF-16LE") => 'a\xd8',
      "a".dup.force_encoding("UTF-7") => "a",
      "" => ""
    }.each do |text, shown|
      it "shows #{text.dump} as #{shown}" do
        expect(described_class.line(text)).to eq(shown)
      end
    end

    it "changes nothing but hidden characters, and leaves none of them" do
      all = (0..0x2100).reject { |code| (0xD800..0xDFFF).cover?(code) }.map { |code| [code].pack("U") }
      shown = all.map { |character| described_class.line(character) }

      expect(all.zip(shown).select { |before, after| before != after }.size).to eq(32 + 33 + 2 + 1 + 2 + 5 + 4)
      expect(shown.join).not_to match(/[[:cntrl:]\u2028\u2029]/)
    end

    it "cuts what is too long for a line, and says so" do
      expect(described_class.line("x" * 10_000_000)).to end_with("xxx... (9991808 characters more)").and have_attributes(size: be < 8300)
      expect(described_class.line("\xFF" * 9000).size).to be < 4 * 8300
    end
  end

  describe ".json" do
    it "says everything, without a character that a terminal obeys" do
      text = "a\nb\e\u009B\u0085\u2028\u202E\x7F\u00E4\"\\"
      line = described_class.json({ text: })

      expect(line).not_to match(/[[:cntrl:]\u2028\u202E]/)
      expect(JSON.parse(line)).to eq("text" => text)
    end
  end
end
