# frozen_string_literal: true

require "json"

# What came of the requests of a program of clients, counted while they run in threads of their own.
module Rollout
  module Shots
    class Outcomes
      # After +warm+ answers it says "warm".
      def initialize(warm:)
        @warm = warm
        @queue = Queue.new
        @counted = Hash.new(0)
        @counter = Thread.new { count }
      end

      def <<(outcome) = @queue << outcome

      # Waits for the clients' threads, and prints {outcome => number} as JSON.
      def report(clients)
        clients.each(&:join)
        @queue.close
        @counter.join
        puts JSON.generate(@counted)
      end

      private

      def count
        while (outcome = @queue.pop)
          @counted[outcome] += 1
          puts("warm").then { $stdout.flush } if @counted["answered"] == @warm
        end
      end
    end
  end
end
