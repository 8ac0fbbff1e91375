# frozen_string_literal: true

require_relative "../support/servers"
%w[patience http_response wire tls_wire hpack http2_wire].each { |name| require_relative "../../spec/support/#{name}" }

# A client of HTTP/2 with many streams that acts as RFC 9113 §6.8 says: behind a GOAWAY it opens no stream, it waits for those that it
# covers, and it asks again for those that it does not. What it asked again is counted apart, and is no failure.
module Drains
  # One connection after another, each with so many streams at a time.
  class Client
    attr_reader :done, :again, :connections, :failures

    # +address+ is called for where the next connection goes.
    def initialize(streams, &address)
      @address = address
      @streams = streams
      @done = @again = @connections = 0
      @failures = []
    end

    # Asks until told to stop.
    def run(over)
      serve_one(over) until over.closed?
    end

    private

    def serve_one(over)
      @connections += 1
      HTTP2Wire.open(@address.call) do |wire|
        open = {}
        loop do
          open[wire.request("GET", "/")] = true while open.size < @streams && wire.goaways.empty? && !over.closed?
          break if open.empty?

          wire.next_frame or return lost(wire, open.keys)
          look(wire, open)
        end
      end
    rescue SystemCallError, IOError, HTTPResponse::Cut, Patience::Over => error
      @failures << "#{error.class}: #{error.message}"
    end

    def look(wire, open)
      if (last = wire.goaways.last&.last_stream)
        refused = open.keys.select { |stream| stream > last }
        refused.each { |stream| open.delete(stream) }
        @again += refused.size
      end
      over, = open.keys.partition { |stream| wire.stream(stream).over? }
      over.each do |stream|
        open.delete(stream)
        count(wire.stream(stream))
      end
    end

    def count(response)
      if response.reset == :refused_stream then @again += 1
      elsif response.reset || response.status != 200 || response.body != "hello\n"
        @failures << "#{response.reset || response.status} #{response.body.inspect}"
      else @done += 1
      end
    end

    # The connection has ended: what the last GOAWAY does not cover may be asked again.
    def lost(wire, streams)
      last = wire.goaways.last&.last_stream
      failed = streams.select { |stream| last.nil? || stream <= last }
      @again += streams.size - failed.size
      @failures.concat(failed.map { |stream| "stream #{stream} was cut (#{wire.log.last(4).join('; ')})" })
    end
  end
end
