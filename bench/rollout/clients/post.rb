# frozen_string_literal: true

require "digest"
require_relative "client"

# Clients that send a body which no other request has, and want its digest back: it arrived whole, and the answer is
# theirs.
module Rollout
  module Clients
    class Post < Client
      private

      def exchange
        @body = payload
        send_body
      end

      def send_body = @connection.request("POST", @path, @body, within: @within)

      def good?(body) = body == Digest::SHA256.hexdigest(@body)

      # From a few bytes to 16 KiB.
      def payload
        @sent = @sent.to_i + 1
        seed = "#{@name} #{@number} #{@sent} "
        (seed * 512)[0, 32 + (@sent * 2053 + @number * 509) % 16_000].b
      end

      def begin_with(headers)
        @connection.limit = @within
        @connection.send_head("POST", @path, headers)
      end
    end

    # Does not say how long the body is.
    class ChunkedPost < Post
      PIECE = 3000

      private

      def send_body
        begin_with("transfer-encoding" => "chunked")
        sent = (0...@body.bytesize).step(PIECE).all? do |from|
          piece = @body.byteslice(from, PIECE)
          @connection.write("#{piece.bytesize.to_s(16)}\r\n".b << piece << "\r\n")
        end
        @connection.write("0\r\n\r\n") if sent
        @connection.read_response
      end
    end

    # Lets the body trickle. An answer that comes before its end stops it.
    class SlowPost < Post
      SECONDS = 1.5
      PIECES = 15

      private

      def send_body
        begin_with("content-length" => @body.bytesize)
        size = (@body.bytesize / PIECES.to_f).ceil
        (0...@body.bytesize).step(size).each do |from|
          break if @connection.input?(SECONDS / PIECES) || !@connection.write(@body.byteslice(from, size))
        end
        @connection.read_response
      end
    end

    # Sends the body once the server has asked for it. A final status in the place of the 100 is the answer.
    class ContinuePost < Post
      private

      def send_body
        begin_with("content-length" => @body.bytesize, "expect" => "100-continue")
        first = @connection.read_head
        if first.interim?
          @connection.write(@body)
          @connection.read_response
        else
          first.body = @connection.read_body(first)
          drop # the body that was not sent is not expected any more, but not every server knows
          first
        end
      end
    end
  end
end
