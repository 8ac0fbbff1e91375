# frozen_string_literal: true

# The program of clients that connect, ask once and close, over and over: `ruby connectors.rb HOST PORT COUNT WARM`.
# Says "warm" after WARM answers, and when each client was refused, what came of every connection that was established.
require "json"
require_relative "../../connection"

WITHIN = 10.0

Thread.abort_on_exception = true
host, port, count, warm = ARGV
outcomes = Queue.new

# What came of one connection; nil when there was none.
ask = lambda do
  connection = Rollout::Connection.open(host, port.to_i, within: WITHIN)
  begin
    response = connection.request("GET", "/", within: WITHIN)
    response.status == 200 && response.body == "hello\n" ? "answered" : response.status.to_s
  rescue Rollout::Failed => failure
    failure.kind
  ensure
    connection.close
  end
rescue Rollout::Failed => failure
  failure.kind == "refused" ? nil : "connect: #{failure.kind}"
end

clients = Array.new(count.to_i) do
  Thread.new do
    while (outcome = ask.call)
      outcomes << outcome
    end
  end
end
counted = Hash.new(0)
reporter = Thread.new do
  while (outcome = outcomes.pop)
    counted[outcome] += 1
    puts("warm").then { $stdout.flush } if counted["answered"] == warm.to_i
  end
end
clients.each(&:join)
outcomes.close
reporter.join
puts JSON.generate(counted)
