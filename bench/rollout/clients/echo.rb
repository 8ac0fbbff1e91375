# frozen_string_literal: true

require_relative "client"
require_relative "../web_socket"

# A WebSocket client that sends a message now and then and wants it back.
#
# Each echo is an outcome. A Close with 1001 or 1012 is the server's way to send its clients elsewhere: it is answered,
# the next message goes over a new connection, and one that the Close has crossed is not counted. A connection that
# cannot be had or that ends without a Close is a failed outcome, also while no message is under way.
module Rollout
  module Clients
    class Echo < Client
      ORDERLY = [1001, 1012].freeze # going away, service restart
      CLOSING = 5.0 # seconds that the server may take to end the connection after the Close was answered

      private

      def ask
        began_at = now
        connect
        text = payload
        @socket.send(text)
        frame = @socket.message(within: @within)
        frame.close? ? leave(frame) : report(frame.payload == text ? nil : "wrong body", began_at)
      rescue Failed => error
        fail_with(error, began_at)
      end

      def connect
        @socket ||= WebSocket.open(@connection = remembered, @path, within: @within)
      end

      # Between two messages the server may close.
      def rest(due)
        while @socket && !@stop.closed? && (left = due - now).positive?
          hear if @socket.input?(left)
        end
        super
      end

      def hear
        began_at = now
        frame = @socket.frame(within: @within)
        leave(frame) if frame.close?
      rescue Failed => error
        fail_with(error, began_at)
      end

      def leave(frame)
        raise Failed, "abnormal close" unless ORDERLY.include?(frame.status)

        @socket.answer_close(frame, within: CLOSING)
        drop
      end

      def fail_with(error, began_at)
        drop
        report(error.kind, began_at)
      end

      def drop
        super
        @socket = nil
      end

      # From a few bytes to a few hundred, so that both forms of a short length occur.
      def payload
        @sent = @sent.to_i + 1
        "message #{@sent} of client #{@number} ".b * (1 + @sent % 9)
      end
    end
  end
end
