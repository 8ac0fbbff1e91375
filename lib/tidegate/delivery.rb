# frozen_string_literal: true

# The end of a response body. The native side sends what the app has returned; that the body is closed, whatever
# happens on the way, is left to Ruby's own `ensure`, which also holds when the thread is killed.

module Tidegate
  module Delivery
    # Has +delivery+, a Native::Delivery, send the response, and closes the body once, unless its to_ary has done so.
    def self.run(delivery, status, headers, body)
      delivery.call(status, headers, body)
    ensure
      body.close if !delivery.closed? && body.respond_to?(:close)
    end
  end
end
