# frozen_string_literal: true

require_relative "shot"

# S7: 32 clients connect, ask and close as fast as they can, a round trip of 2 ms away, while the listener closes. Each
# connection is answered or refused; one that was established and then reset has lost a request, and the client cannot
# know whether it was served.
module Rollout
  module Shots
    class ClosingListener < Shot
      TITLE = "listener closed under 32 connectors, 2 ms away"
      CLIENTS = 32
      WARM = 200 # answers before TERM

      def self.delay = 0.001

      private

      def once(contestant, turn)
        under_clients(contestant, turn, "connectors", self.class::CLIENTS, self.class::WARM) do
          sleep(rand * 4 * self.class.delay) # the clients march in step, two round trips each
        end
      end
    end

    # The same for clients on another continent: a handshake takes longer than most servers' whole end.
    class FarListener < ClosingListener
      TITLE = "listener closed under 8 connectors, 200 ms away"
      CLIENTS = 8
      WARM = 4

      def self.delay = 0.1
    end
  end
end
