# frozen_string_literal: true

# The clients of `bin/rollout --kubernetes`, which run in the cluster: this file is all that their pod has beside Ruby. Half of them keep
# their connections, half make one for each request; none tries anything again.
#
#   ruby clients.rb URL CLIENTS
#
# A line of JSON a second says how it went so far, and a last one after TERM.

require "json"
require "net/http"

uri = URI(ARGV.fetch(0))
clients = Integer(ARGV.fetch(1))
lock = Mutex.new
tally = { requests: 0, failed: 0, slowest: 0.0, kinds: Hash.new(0) }
over = Queue.new
trap("TERM") { over.close }
trap("INT") { over.close }

note = lambda do |began, kind|
  took = Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
  lock.synchronize do
    tally[:requests] += 1
    tally[:slowest] = [tally[:slowest], took.round(3)].max
    next unless kind

    tally[:failed] += 1
    tally[:kinds][kind] += 1
  end
end

ask = lambda do |http|
  began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  http.start unless http.started?
  status = Integer(http.get(uri.request_uri).code)
  note.call(began, status >= 500 ? "status #{status}" : nil)
rescue StandardError => error
  note.call(began, error.class.name)
  http.finish if http.started?
end

threads = Array.new(clients) do |index|
  Thread.new do
    http = Net::HTTP.new(uri.host, uri.port)
    http.use_ssl = uri.scheme == "https"
    http.max_retries = 0
    http.open_timeout = http.read_timeout = 60
    # A little longer than most of the waits below: it does not look at a connection's age, as most clients do not.
    http.keep_alive_timeout = 300
    until over.closed?
      ask.call(http)
      http.finish if index.odd? && http.started?
      over.pop(timeout: 0.02 + (rand * 0.1))
    end
  end
end

$stdout.sync = true
until over.closed?
  over.pop(timeout: 1)
  puts JSON.generate(lock.synchronize { tally.merge(kinds: tally[:kinds].dup) }) unless over.closed?
end
threads.each(&:join)
puts JSON.generate(tally.merge(done: true))
