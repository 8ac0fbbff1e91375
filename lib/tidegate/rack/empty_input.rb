# frozen_string_literal: true

# The rack.input of a request without a body. One object serves all such requests, and so has no state: any number of apps can
# read, rewind and close it.

module Tidegate
  # The rack.input of a request without a body.
  class EmptyInput
    # As IO#read at the end of a file: "" without a length, nil with one.
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

    # Does nothing, because the next request uses the same object.
    def close = nil

    def closed? = false
  end
end
