# frozen_string_literal: true

# The rack.input of a request with its body in a temporary file: a File that reads the rest of itself in one piece. IO#read
# would ask for as much again to find the end, and for that make a string of twice the size and copy it once more.

module Tidegate
  # The rack.input of a request with its body in a temporary file.
  class SpooledInput < File
    # As IO#read.
    def read(length = nil, buffer = nil)
      return super if length || buffer || external_encoding != Encoding::BINARY

      rest = size - pos
      rest.positive? && super(rest) || super()
    end
  end
end
