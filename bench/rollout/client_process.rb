# frozen_string_literal: true

# The program of the process that holds the clients: `ruby client_process.rb [--tls] HOST PORT RATE [KINDS]`, where KINDS are
# names of Client::KINDS with commas between them; without them all.
# Writes one line per request (client, failure or "-", began at, ended at, the client's port if it had one; tab-separated) and
# stops when its standard input ends.
require_relative "client"

Thread.abort_on_exception = true
Rollout::Connection.encrypted = !ARGV.delete("--tls").nil?
host, port, rate, kinds = ARGV
lines = Queue.new
stop = Queue.new

writer = Thread.new do
  $stdout.sync = true
  while (outcome = lines.pop)
    fields = [outcome.client, outcome.failure || "-", outcome.began_at.round(4), outcome.ended_at.round(4), outcome.port]
    $stdout.write(fields.compact.join("\t") << "\n")
  end
end

crowd = Rollout::Client.crowd(Rollout::Client.kinds(kinds&.split(",")), rate: rate.to_f, host:, port: port.to_i) do |outcome|
  lines << outcome
end
clients = crowd.map { |client| Thread.new { client.run(stop) } }

begin
  $stdin.read
rescue Interrupt
  nil
end
stop.close
clients.each(&:join)
lines.close
writer.join
