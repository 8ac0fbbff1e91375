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
        case name
        when "stats", "gc-stats" then JSON.pretty_generate(JSON.parse(body))
        when "thread-backtraces" then backtraces(JSON.parse(body))
        when "status" then status(JSON.parse(body))
        when "drain" then body.strip
        else message(name, body)
        end
      rescue JSON::ParserError
        body.strip
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
          [head, *Array(thread["backtrace"]).map { |line| "  #{line}" }].join("\n")
        end.join("\n\n")
      end

      def status(status)
        left = status["seconds_left"]&.then { |seconds| ", #{seconds} s left" }
        "#{status["phase"]}#{left}: #{count(status["in_flight"], "request")} in flight, #{count(status["connections"], "connection")}"
      end

      def count(number, noun) = "#{number} #{noun}#{"s" unless number == 1}"

      def message(name, body)
        JSON.parse(body)["message"] || DONE.fetch(name, "#{name}: done")
      end
    end
  end
end
