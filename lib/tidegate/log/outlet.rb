# frozen_string_literal: true

# Writes lines where no native thread does: those of a cluster's master, and those of a boot. A log that cannot be written costs lines
# and nothing else: with a full disk, or a reader of the pipe that has gone or does not read, the server goes on.

module Tidegate
  module Outlet
    # Bytes that a pipe takes at once where it takes any (PIPE_BUF).
    PIECE = 4096

    module_function

    # Writes +text+ to +io+, which may be any object with the method write. Waits up to +patience+ seconds for a reader. Returns whether all
    # of it was written.
    def write(io, text, patience:)
      return put(io, text) unless io.is_a?(IO)

      io.flush
      # Past Ruby's buffer, in which what could not be written would wait for the next line.
      text.b.scan(/.{1,#{PIECE}}/mno).all? { |piece| IO.select(nil, [io], nil, patience) && io.syswrite(piece) == piece.bytesize }
    rescue StandardError
      false
    end

    def put(object, text)
      object.write(text)
      object.flush if object.respond_to?(:flush)
      true
    end

    private_class_method :put
  end
end
