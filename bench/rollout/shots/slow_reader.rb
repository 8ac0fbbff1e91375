# frozen_string_literal: true

require_relative "shot"

# S12: a client takes 2 MB at its own pace; the server is told to end; 300 ms after its end the pod's link is taken
# away, as a cluster does. What the kernel still held for the client is lost then.
module Rollout
  module Shots
    class SlowReader < Shot
      TITLE = "2 MB to a slow reader, link gone 300 ms after the exit"
      LINK_LASTS = 0.3
      DELAY = 0.001

      def initialize(&)
        super
        Network.check(delay: DELAY)
      end

      private

      def once(contestant, turn)
        @network = Network.new(delay: DELAY) # one for each turn, which loses its link
        server = serve(contestant, turn)
        reader = client("reader", server.host, server.port)
        await(reader, "begun")
        server.child.signal(:TERM)
        ended = ending(server)
        sleep(LINK_LASTS) # a part of the experiment
        @network.unplug
        [outcomes(reader), ended]
      ensure
        reader&.stop
        server&.child&.stop(signal: :KILL)
        @network&.stop
      end
    end
  end
end
