# frozen_string_literal: true

# The results of shots in Markdown.
module Rollout
  module Shots
    class Table
      HEAD = ["shot", "server", "times", "requests", "lost", "how", "ended with"].freeze

      def initialize(results, skipped)
        @results, @skipped = results, skipped
      end

      def to_s
        rows = [HEAD, ["---"] * HEAD.size, *@results.map { |result| row(result) }]
        skipped = @skipped.map { |name, why| "\nNot done: #{name}, because #{why}." }
        [*rows.map { |row| "| #{row.join(" | ")} |" }, *skipped].join("\n")
      end

      private

      def row(result)
        [result.shot, result.contestant, result.times, result.requests, result.lost,
         counts(result.losses), counts(result.endings)]
      end

      def counts(numbers) = numbers.empty? ? "-" : numbers.map { |what, number| "#{number} × #{what}" }.join(", ")
    end
  end
end
