# frozen_string_literal: true

# Text of an app or a client on its way to a log: no byte of it ends a line, controls a terminal, or hides other text.

module Tidegate
  module Printable
    # Control characters (ASCII and C1), line separators beyond ASCII, and characters that change the direction of the text.
    HIDDEN = /[\p{Cntrl}\u2028\u2029\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/

    # The same, without the characters that JSON escapes itself.
    HIDDEN_IN_JSON = /[\u007F-\u009F\u2028\u2029\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/

    # How many characters of a text are logged.
    LONGEST = 8192

    module_function

    # The text in one line: `\n`, `\x1b` or `\u0085` replaces a character that cannot be shown, `\xff` a byte that is no
    # text.
    def line(text)
      unicode(text).gsub(HIDDEN) { |character| escape(character) }
    end

    # An object as a line of JSON. The strings in it must be Unicode already.
    def json(object)
      require "json"
      JSON.generate(object).gsub(HIDDEN_IN_JSON) { |character| format("\\u%04x", character.ord) }
    end

    # The text in Unicode, whatever its encoding was, and not longer than LONGEST.
    def unicode(text)
      text = cut(utf8(text))
      text.scrub { |bytes| bytes.bytes.map { |byte| format("\\x%02x", byte) }.join }
    end

    def utf8(text)
      return text if text.encoding == Encoding::UTF_8
      return text.encode(Encoding::UTF_8) if text.encoding != Encoding::BINARY && text.valid_encoding?

      text.dup.force_encoding(Encoding::UTF_8)
    rescue EncodingError
      text.dup.force_encoding(Encoding::UTF_8)
    end

    def cut(text)
      return text if text.bytesize <= LONGEST || text.length <= LONGEST

      "#{text[0, LONGEST]}... (#{text.length - LONGEST} characters more)"
    end

    def escape(character)
      case character
      when "\n" then "\\n"
      when "\r" then "\\r"
      when "\t" then "\\t"
      else format(character.ord < 0x80 ? "\\x%02x" : "\\u%04x", character.ord)
      end
    end

    private_class_method :utf8, :cut, :escape
  end
end
