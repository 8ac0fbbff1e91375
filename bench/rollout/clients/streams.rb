# frozen_string_literal: true

require_relative "post"
require_relative "../../../spec/support/patience"
%w[http_response wire tls_wire hpack http2_wire].each { |name| require_relative "../../../spec/support/#{name}" }

# A client of HTTP/2 that keeps its connection and asks on several streams at once: a GET and a POST in turn.
#
# It acts as RFC 9113 §6.8 and §8.7 say: behind a GOAWAY it opens no stream, it waits for those that the GOAWAY covers, and it asks
# again, on another connection, for those that it does not, or that were refused; these have not been acted on. All else that is
# not answered has failed.
module Rollout
  module Clients
    class Streams < Post
      AT_ONCE = 4
      # How often a request may be turned away before that counts as a failure.
      TRIES = 8

      # Every other client has a new connection after so many turns, so that some come at any time.
      TURNS = 8

      # How a connection shows that it has ended.
      ENDS = [SystemCallError, IOError, OpenSSL::SSL::SSLError, HTTPResponse::Cut].freeze
      private_constant :ENDS

      # A request: its body, nil for a GET; when it was first sent; how often it was sent.
      Request = Struct.new(:body, :began_at, :tries)

      private

      def ask
        @waiting = Array.new(AT_ONCE) { |number| Request.new(number.odd? ? payload : nil, now, 0) }
        @open = {}
        serve until @waiting.empty?
        drop if @number.odd? && ((@turns = @turns.to_i + 1) % TURNS).zero?
      end

      # Asks on one connection for all that wait, until none is open; what is turned away waits again.
      def serve
        connect
        send_request(@waiting.shift) until @waiting.empty?
        take until @open.empty?
      rescue Failed, Patience::Over, *ENDS => error
        lost(kind_of(error))
      ensure
        drop if @h2&.goaways&.any?
      end

      def send_request(request)
        request.tries += 1
        @open[@h2.next_stream] = request
        return @h2.request("GET", "/") unless request.body

        @h2.request("POST", "/digest", { "content-length" => request.body.bytesize.to_s }, body: request.body)
      end

      # The next frame, and what it ends.
      def take
        @h2.next_frame or raise Failed, "cut"
        turn_away_uncovered
        @open.select { |stream, _| @h2.stream(stream).over? }.each do |stream, request|
          @open.delete(stream)
          conclude(@h2.stream(stream), request)
        end
      end

      def turn_away_uncovered
        last = @h2.goaways.last&.last_stream or return
        @open.keys.select { |stream| stream > last }.each { |stream| ask_again(@open.delete(stream)) }
      end

      def conclude(response, request)
        return ask_again(request) if response.reset == :refused_stream

        failure = if response.reset then "reset #{response.reset}"
                  elsif response.status != 200 then response.status.to_s
                  elsif response.body != (request.body ? Digest::SHA256.hexdigest(request.body) : Contents::HELLO) then "wrong body"
                  end
        report(failure, request.began_at)
      end

      def ask_again(request) = request.tries < TRIES ? @waiting << request : report("turned away", request.began_at)

      # The connection has ended, or there was none. What the server has said before that may still have to be read.
      def lost(kind)
        take until @h2.nil? || @open.empty?
        fail_all(@waiting, kind) unless @h2
      rescue Failed, Patience::Over, *ENDS
        fail_all(@open.values, kind)
        @open.clear
      ensure
        drop
      end

      def fail_all(requests, kind)
        report(kind, requests.shift.began_at) until requests.empty?
      end

      def connect
        hear(0)
        return if @h2

        @port_here = nil
        @h2 = HTTP2Wire.open("#{Connection.encrypted ? "ssl" : "tcp"}://#{@host}:#{@port}")
        @port_here = @h2.wire.raw.local_address.ip_port
      end

      # Seconds between two looks at whether the client is to stop.
      GLANCE = 0.1
      private_constant :GLANCE

      # Between two requests the server may say something: a PING wants its answer, a GOAWAY ends the connection.
      def rest(due)
        while @h2 && !@stop.closed? && (left = due - now).positive?
          hear([left, GLANCE].min)
        end
        super
      end

      # Takes what has come, or comes within so many seconds.
      def hear(seconds)
        return unless @h2

        @h2.wire.raw.wait_readable(seconds) if seconds.positive? && @h2.wire.quiet?
        until @h2.wire.quiet?
          @h2.next_frame or return drop
        end
        drop unless @h2.goaways.empty?
      rescue *ENDS
        drop
      end

      def drop
        @h2&.close
        @h2 = nil
      end

      def kind_of(error)
        case error
        when Failed then error.kind
        when Patience::Over then "timeout"
        when SystemCallError then Connection::REASONS.fetch(error.class, error.class.name.split("::").last)
        else "cut"
        end
      end
    end
  end
end
