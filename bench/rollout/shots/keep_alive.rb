# frozen_string_literal: true

require_relative "shot"

# S2 at one pod: 100 clients with kept connections, 5 POSTs a second each, a round trip of 2 ms away, while the server
# ends. A request that crosses the end of its connection is lost.
module Rollout
  module Shots
    class KeepAlive < Shot
      TITLE = "100 kept connections, 5 POSTs/s each, 2 ms away"
      CLIENTS = 100
      RATE = 5

      def self.delay = 0.001

      private

      def once(contestant, turn) = under_clients(contestant, turn, "keepers", CLIENTS, RATE)
    end
  end
end
