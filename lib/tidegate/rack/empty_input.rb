# frozen_string_literal: true

# The rack.input of a request without a body. One object serves all of them, so that it has no state to share: it can
# be read, rewound and closed by any number of apps and stays what it is.

module Tidegate
  class EmptyInput
    # As IO#read at the end of a file: "" when all is asked for, nil when a number of bytes is.
    def read(length = nil, buffer = nil)
      buffer&.clear
      return if length&.positive?

      buffer || String.new(encoding: Encoding::BINARY)
    end

    def gets(*) = nil

    # Yields nothing.
    def each(*) = block_given? ? self : to_enum(:each)

    def rewind = 0

    def seek(*) = 0

    def pos = 0

    def size = 0

    def eof? = true

    def external_encoding = Encoding::BINARY

    def binmode = self

    # Does nothing: the next request needs it.
    def close = nil

    def closed? = false
  end
end
