# frozen_string_literal: true

# The program of clients that keep their connection and ask at a steady pace: `ruby keepers.rb HOST PORT COUNT RATE`,
# RATE for each. Says "warm" when all have been answered twice, and when no connection is left, what came of every
# request. A client leaves when it is told to, or when it finds its connection closed before it asks; neither loses a
# request.
require_relative "../../connection"
require_relative "outcomes"

WITHIN = 10.0

Thread.abort_on_exception = true
host, port, count = ARGV.first(3)
interval = 1.0 / Float(ARGV.fetch(3))
now = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
outcomes = Rollout::Shots::Outcomes.new(warm: 2 * count.to_i)
random = Random.new

# Asks once: what came of it, and whether the client goes on.
ask = lambda do |connection, body|
  response = connection.request("POST", "/echo", body, within: WITHIN)
  good = response.status == 200 && response.body == body
  [good ? "answered" : "status #{response.status}", good && !response.last?]
rescue Rollout::Failed => failure
  [failure.kind, false]
end

connections = Array.new(count.to_i) { Rollout::Connection.open(host, port.to_i, within: WITHIN) }
clients = connections.each_with_index.map do |connection, number|
  Thread.new do
    due = now.call + random.rand(interval)
    (0..).each do |turn|
      sleep([due - now.call, 0].max)
      break if connection.stale?

      outcome, goes_on = ask.call(connection, "client #{number}, request #{turn}")
      outcomes << outcome
      break unless goes_on

      due += interval
    end
    connection.close
  end
end
outcomes.report(clients)
