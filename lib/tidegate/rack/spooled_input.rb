# frozen_string_literal: true

# The rack.input of a request whose body is in a temporary file: a File, which reads what is left of it in one piece.
# IO#read would ask for as much again to find out that this was the end, and move what it has for that: a string of
# twice the size, copied once more.

module Tidegate
  class SpooledInput < File
    # As IO#read.
    def read(length = nil, buffer = nil)
      return super if length || buffer || external_encoding != Encoding::BINARY

      rest = size - pos
      rest.positive? && super(rest) || super()
    end
  end
end
