# frozen_string_literal: true

# The program of the process that holds the clients: `ruby client_process.rb HOST PORT RATE`.
# Writes one line per request (client, failure or "-", began at, ended at; tab-separated) and stops when
# its standard input ends.
require_relative "client"

Thread.abort_on_exception = true
host, port, rate, names = ARGV
kinds = Rollout::Client::KINDS.select { |kind| names.nil? || names.split(",").include?(kind.name) }
lines = Queue.new
stop = false

writer = Thread.new do
  $stdout.sync = true
  while (outcome = lines.pop)
    $stdout.write([outcome.client, outcome.failure || "-", outcome.began_at.round(4), outcome.ended_at.round(4)].join("\t") << "\n")
  end
end

clients = kinds.flat_map do |kind|
  Array.new(kind.count) do |number|
    client = Rollout::Client.new(kind, number:, host:, port: port.to_i, rate: rate.to_f) { |outcome| lines << outcome }
    Thread.new { client.run { stop } }
  end
end

begin
  $stdin.read
rescue Interrupt
  nil
end
stop = true
clients.each(&:join)
lines.close
writer.join
