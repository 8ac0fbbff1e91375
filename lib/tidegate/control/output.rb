# frozen_string_literal: true

# What `tidegate ctl` prints: an answer of the admin listener for people.

require "json"

module Tidegate
  module Control
    module Output
      # What is said of a command that was carried out; %s is its name.
      DONE = {
        "stop" => "the server drains, and then ends",
        "halt" => "the server ends",
        "gc" => "Ruby's garbage collector has run"
      }.freeze

      module_function

      # The text for an Answer that is ok, to a command of that name.
      def done(name, body)
        return body.strip if name == "drain"

        answer = JSON.parse(body)
        of_workers?(name, answer) ? answer["workers"].map { |worker| of_worker(name, worker) }.join("\n\n") : text(name, answer)
      rescue JSON::ParserError
        body.strip
      end

      # Whether a worker of a cluster has not answered.
      def partial?(name, body)
        answer = JSON.parse(body)
        of_workers?(name, answer) && answer["workers"].any? { |worker| worker.key?("error") }
      rescue JSON::ParserError
        false
      end

      # Some questions go to all workers of a cluster, and the answer has theirs.
      def of_workers?(name, answer)
        %w[gc gc-stats thread-backtraces].include?(name) && answer.is_a?(Hash) && answer["workers"].is_a?(Array)
      end

      def of_worker(name, worker)
        said = worker.key?("error") ? "no answer: #{worker["error"]}" : text(name, worker["result"])
        "Worker #{worker["index"]} (process #{worker["pid"]})\n#{said}"
      end

      def text(name, answer)
        case name
        when "stats", "gc-stats" then JSON.pretty_generate(answer)
        when "thread-backtraces" then backtraces(answer)
        when "status" then status(answer)
        else answer["message"] || DONE.fetch(name, "#{name}: done")
        end
      end

      # The sentence of an Answer that is not ok.
      def failure(name, answer)
        reason = begin
          JSON.parse(answer.body).fetch("error")
        rescue JSON::ParserError, KeyError, TypeError
          answer.body.lines.first.to_s.strip
        end
        case answer.status
        when 401, 403 then "#{name} was refused: #{reason}"
        when 404 then "#{name} is not possible on this server: #{reason}"
        else "#{name} failed (#{answer.status}): #{reason}"
        end
      end

      def backtraces(threads)
        threads.map do |thread|
          head = "Thread #{thread["name"]}#{" (#{thread["status"]})" if thread["status"]}"
          request = thread["request"]&.then { |served| " serves #{served["method"]} #{served["path"]}" }
          ["#{head}#{request}", *Array(thread["backtrace"]).map { |line| "  #{line}" }].join("\n")
        end.join("\n\n")
      end

      def status(status)
        left = status["seconds_left"]&.then { |seconds| ", #{seconds} s left" }
        "#{status["phase"]}#{left}: #{count(status["in_flight"], "request")} in flight, #{count(status["connections"], "connection")}"
      end

      def count(number, noun) = "#{number} #{noun}#{"s" unless number == 1}"
    end
  end
end
