# frozen_string_literal: true

# A Rack middleware that ends event streams (text/event-stream) in an orderly way when the server drains: between two chunks
# of the body, so that the response is whole. The EventSource of a browser connects again by itself, and by then the load
# balancer sends it to another server. Under a server other than Tidegate the middleware does nothing.
#
#   # config.ru
#   use Tidegate::EventStreams
#   use Tidegate::EventStreams, within: 5   # seconds over which the ends are spread

module Tidegate
  # The middleware: `use Tidegate::EventStreams` ends event streams between two chunks when the server drains.
  class EventStreams
    # The content types of event streams.
    TYPE = %r{\Atext/event-stream\b}i

    # @param app [#call] the Rack app
    # @param within [Numeric] the streams end at random moments in so many seconds after the drain has begun, so that the clients
    #   do not all come back at once
    def initialize(app, within: 2.0)
      @app = app
      @within = within
    end

    # Calls the app, and wraps the body of an event stream.
    # @param env [Hash] the Rack env
    # @return [Array] status, headers and body
    def call(env)
      status, headers, body = @app.call(env)
      draining = env["tidegate.draining"]
      body = Ending.new(body, draining, rand * @within) if draining && body.respond_to?(:each) && stream?(headers)
      [status, headers, body]
    end

    private

    def stream?(headers)
      headers.any? { |name, value| name.casecmp?("content-type") && TYPE.match?(value.to_s) }
    end

    # A body that passes on the chunks of another body, and ends early once the server drains.
    class Ending
      # +delay+ is how long, in seconds, the stream still goes on once the drain is seen.
      def initialize(body, draining, delay)
        @body = body
        @draining = draining
        @delay = delay
      end

      def each
        @body.each do |chunk|
          yield chunk
          break if over?
        end
      end

      def close
        @body.close if @body.respond_to?(:close)
      end

      private

      def over?
        return false unless @draining.call

        @over_at ||= now + @delay
        now >= @over_at
      end

      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
