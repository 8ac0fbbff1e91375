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

      def self.delay = 0.001

      private

      def once(contestant, turn)
        server = serve(contestant, turn)
        connectors = client("connectors", server.host, server.port, CLIENTS)
        await(connectors, "warm")
        server.child.signal(:TERM)
        [outcomes(connectors), ending(server)]
      ensure
        connectors&.stop
        server&.child&.stop(signal: :KILL)
      end
    end
  end
end
