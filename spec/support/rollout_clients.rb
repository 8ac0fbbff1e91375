# frozen_string_literal: true

# For specs of the rollout's clients: runs one against a server, and has its outcomes one by one.

require_relative "scripted_servers"

module RolloutClients
  # A client that runs in a thread.
  class Running
    def initialize(client)
      @stop = Queue.new
      @outcomes = Queue.new
      @thread = Thread.new { client.call(@outcomes).run(@stop) }
      @thread.report_on_exception = false
    end

    # The next outcome: its failure, or :good.
    def outcome = Patience.pop(@outcomes, "an outcome").failure || :good

    # Has the client ask again at once.
    def ask = @stop << true

    def idle? = @outcomes.empty?

    def stop
      @stop.close
      Patience.value_of(@thread, "the client to stop")
      self
    end
  end

  # A client of that kind which asks that server (or that port).
  def client(slug, server, interval: 3600, **options)
    kind = Rollout::Client.kinds([slug]).first
    port = server.is_a?(Integer) ? server : server.port
    running = Running.new(lambda do |outcomes|
      kind.type.new(kind.name, number: 1, host: "127.0.0.1", port:, interval:, **kind.options, within: Patience::SECONDS, **options) do |outcome|
        outcomes << outcome
      end
    end)
    (@running ||= []) << running
    running
  end

  # What the first outcome is, of that kind of client on a server with that script.
  def first_outcome(slug, **, &script) = client(slug, scripted(&script), **).outcome

  def head(status, *headers) = "HTTP/1.1 #{status}\r\n#{headers.map { |line| "#{line}\r\n" }.join}\r\n"

  # The servers first: a client that listens notices nothing else.
  def end_clients
    end_scripted
    @running&.each(&:stop)
  end
end

RSpec.configure do |config|
  config.include RolloutClients, :clients
  config.include ScriptedServers, :clients
  config.after(:each, :clients) { end_clients }
end
