# frozen_string_literal: true

# The program of clients that connect, ask once and close, over and over: `ruby connectors.rb HOST PORT COUNT WARM`.
# Says "warm" after WARM answers, and when each client was refused, what came of every connection that was established.
require_relative "../../connection"
require_relative "outcomes"

WITHIN = 10.0

Thread.abort_on_exception = true
host, port, count, warm = ARGV
outcomes = Rollout::Shots::Outcomes.new(warm: warm.to_i)

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
outcomes.report(clients)
