# frozen_string_literal: true

# The rack.input of a request with a body that is still arriving (option stream_input). The app reads it once, from the
# beginning to the end, and waits for what has not come yet while other threads run. If the rest does not come, reading
# raises a ClientError: a body that breaks off must not look whole.

module Tidegate
  # The rack.input of a request with a body that is still arriving; its reads raise a {ClientError} where the rest does not come.
  class StreamInput
    # The input for +stream+, a Native::RequestStream. Rack 2 apps rewind their input, so that theirs keeps what was read. What comes
    # behind the body is put into +trailers+, a Hash, when that has been read to its end.
    def self.open(stream, trailers)
      input = new(stream, trailers)
      return input unless RackEnv.rewindable?

      require "rack/rewindable_input"
      Rack::RewindableInput.new(input)
    end

    def initialize(stream, trailers)
      @stream = stream
      @trailers = trailers
      @buffer = String.new(encoding: Encoding::BINARY)
      # Threads that read at the same time take turns, so that each gets bytes in their order.
      @reading = Mutex.new
    end

    # As IO#read: without +length+ all of the rest; else +length+ bytes, fewer only at the end, and nil after it.
    def read(length = nil, buffer = nil)
      raise ArgumentError, "negative length #{length} given" if length&.negative?

      taken = @reading.synchronize do
        length ? fill { @buffer.bytesize >= length } : gather
        length ? @buffer.slice!(0, length) : @buffer.slice!(0..)
      end
      taken = nil if taken.empty? && length&.positive?
      return taken unless buffer

      buffer.replace(taken || "")
      taken && buffer
    end

    # What has arrived, at most +length+ bytes; waits only if nothing has. Raises EOFError after the end.
    def readpartial(length, buffer = nil)
      taken = @reading.synchronize do
        fill { !@buffer.empty? }
        raise EOFError, "end of file reached" if @buffer.empty? && length.positive?

        @buffer.slice!(0, length)
      end
      buffer ? buffer.replace(taken) : taken
    end

    # The next line with its separator; nil after the last. With a nil +separator+ all of the rest.
    def gets(separator = $/)
      return read.then { |rest| rest unless rest.empty? } if separator.nil?

      @reading.synchronize do
        fill_to(separator)
        take_line(separator)
      end
    end

    # Yields line by line.
    def each
      return to_enum(:each) unless block_given?

      while (line = gets)
        yield line
      end
      self
    end

    def eof?
      @reading.synchronize do
        fill { !@buffer.empty? }
        @buffer.empty?
      end
    end

    def binmode = self

    def external_encoding = Encoding::BINARY

    # Has the server stop receiving the rest.
    def close
      @closed = true
      @stream.close
    end

    def closed? = @closed == true

    private

    # Takes in pieces until the block returns true, or until the end.
    def fill
      raise IOError, "closed stream" if @closed

      until @over || yield
        piece = @stream.next
        if piece.nil? then end_with_trailers
        elsif @buffer.empty? then @buffer = piece
        else @buffer << piece
        end
      end
    end

    def fill_to(separator)
      searched = 0
      fill do
        found = @buffer.index(separator, searched)
        searched = [@buffer.bytesize - separator.bytesize + 1, 0].max
        found
      end
    end

    def end_with_trailers
      @over = true
      @stream.fill_trailers(@trailers)
    end

    # Takes in all of the rest, or what comes of it, and joins the pieces once: a buffer that grows with each piece would be copied
    # again and again.
    def gather
      pieces = []
      fill do
        pieces << @buffer
        @buffer = String.new(encoding: Encoding::BINARY)
        false
      end
    ensure
      @buffer = [*pieces, @buffer].join
    end

    def take_line(separator)
      return if @buffer.empty?

      ending = @buffer.index(separator)
      ending ? @buffer.slice!(0, ending + separator.bytesize) : @buffer.slice!(0..)
    end
  end
end
