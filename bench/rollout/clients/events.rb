# frozen_string_literal: true

require_relative "client"

# A listener of server-sent events, as a browser's EventSource is one: it takes what comes for as long as the server
# keeps the stream, and when that ends in order (last chunk) it connects again at once and says what it had last.
#
# Each event is an outcome, which took as long as nothing had come before it. A stream that cannot be had, that is cut
# or silent, or an event that is missing is a failed one; after it the client waits, as EventSource does.
module Rollout
  module Clients
    class Events < Client
      private

      def ask
        @last_id ||= 0
        @since = now
        nil while listen
      rescue Failed => error
        report(error.kind, @since)
      ensure
        drop
      end

      # Until the stream ends in order; whether to connect again at once.
      def listen
        drop
        connect
        before = @last_id
        @connection.limit = @within
        @connection.send_head("GET", @path, "accept" => "text/event-stream", **resume)
        read_events(@connection.read_head)
        raise Failed, "missing event" if @last_id == before # else it would go round and round

        !@stop.closed?
      end

      def resume = @last_id.zero? ? {} : { "last-event-id" => @last_id }

      def read_events(response)
        raise Failed, response.status.to_s unless response.status == 200
        raise Failed, "malformed" unless response.chunked?

        text = "".b
        @connection.each_chunk do |chunk|
          text << chunk
          take(text.slice!(0, text.index("\n\n") + 2)) while text.include?("\n\n")
          return if @stop.closed?

          @connection.limit = @within
        end
      end

      def take(event)
        id = event[/^id: (\d+)$/, 1].to_i
        expected, @last_id = @last_id + 1, id
        raise Failed, "missing event" unless id == expected

        report(event.include?("data: tick #{id}\n") ? nil : "wrong body", @since)
        @since = now
      end
    end
  end
end
