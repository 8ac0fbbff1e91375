# frozen_string_literal: true

require "net/http"

module Dashboard
  # Clients of the pods: each asks, looks at the answer, pauses and asks again. The number of requests is bounded by their pauses.
  class Clients
    # Requests on a connection, at most; then there is a new one, to any pod.
    KEPT = 8

    # +routes+: called for the pods that a new connection may go to. +paths+: how often each is asked for, out of all. +pause+: seconds.
    def initialize(count, routes:, paths:, pause:)
      @routes, @pause = routes, pause
      @paths = paths.flat_map { |path, times| [path] * times }
      @statuses = Hash.new(0)
      @mutex = Mutex.new
      @threads = Array.new(count) { Thread.new { visit until @over } }
    end

    # Ends them all, and returns how many got which status; nil is none.
    def stop
      @over = true
      @threads.each { |thread| thread.join(30) or raise Rig::Unavailable, "a client does not end" }
      @statuses
    end

    private

    def visit
      pod = @routes.call.sample or return sleep(@pause)
      Net::HTTP.start(pod.host, pod.port, open_timeout: 2, read_timeout: 20) do |http|
        KEPT.times do
          response = http.get(@paths.sample)
          count(response.code)
          # As a client that was told to come back later.
          sleep(response.code == "503" ? 1 : @pause)
          break if @over || response["connection"] == "close"
        end
      end
    rescue SystemCallError, IOError, Timeout::Error
      count(nil)
      sleep(@pause)
    end

    def count(status) = @mutex.synchronize { @statuses[status] += 1 }
  end
end
