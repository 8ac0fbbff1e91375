# frozen_string_literal: true

require "json"
require "rbconfig"
require_relative "../network"
require_relative "contestant"

# One moment at which a server that ends can lose something, made to happen many times. What a shot is, its class says:
# `once(contestant, turn)` returns what came of each request and how the server ended.
module Rollout
  module Shots
    # The outcomes are words: "answered" for a good answer, any other is a loss, of that kind.
    Result = Struct.new(:shot, :contestant, :times, :outcomes, :endings, keyword_init: true) do
      def requests = outcomes.values.sum
      def losses = outcomes.except(ANSWERED)
      def lost = losses.values.sum
    end

    ANSWERED = "answered"

    class Shot
      PORT = 9000    # in a network of our own, where it is free
      TIMEOUT = 30.0 # seconds for a server to end and for clients to finish

      # Seconds of one direction between clients and pods, or nil where the shot needs no network of its own.
      def self.delay = nil

      # The block is told of each turn.
      def initialize(&say)
        @say = say || ->(_) {}
        @network = Network.new(delay: self.class.delay) if self.class.delay
      end

      def run(contestant, times:)
        turns = Array.new(times) do |turn|
          once(contestant, turn).tap { |outcomes, ending| @say.call("#{contestant.name}: #{tally(outcomes)}, #{ending}") }
        end
        outcomes, endings = turns.transpose
        outcomes = outcomes.flatten.tally
        Result.new(shot: self.class::TITLE, contestant: contestant.name, times:, outcomes:, endings: endings.tally)
      end

      def stop = @network&.stop

      private

      # A ready server in the network, at an address that it has for itself.
      def serve(contestant, turn)
        contestant.start(host: @network.pod_host(1 + turn % 250), port: PORT, inside: @network.inside(:pods))
      end

      # A program of clients/ on the clients' side of the network.
      def client(program, *arguments)
        script = File.expand_path("clients/#{program}.rb", __dir__)
        Rig::Child.new([*@network.inside(:clients), RbConfig.ruby, script, *arguments.map(&:to_s)], name: program)
      end

      # Waits until a client says that the moment has come.
      def await(client, line)
        return if client.wait_for_line(/^#{line}$/, within: TIMEOUT)

        raise Rig::Unavailable, "the #{client.name} never came to #{line.inspect}: #{client.output.last(3).join(" | ")}"
      end

      # TERM while clients of that program are at work and have said that they are warm. The block waits for the moment.
      def under_clients(contestant, turn, program, *arguments)
        server = serve(contestant, turn)
        clients = client(program, server.host, server.port, *arguments)
        await(clients, "warm")
        yield if block_given?
        server.child.signal(:TERM)
        [outcomes(clients), ending(server)]
      ensure
        clients&.stop
        server&.child&.stop(signal: :KILL)
      end

      # What the client counted, as {outcome => number}, and then as one word each.
      def outcomes(client)
        client.wait(within: TIMEOUT)
        client.stop
        counted = client.output.last
        raise Rig::Unavailable, "the #{client.name} failed: #{client.output.last(3).join(" | ")}" unless counted&.start_with?("{")

        JSON.parse(counted).flat_map { |outcome, number| [outcome] * number }
      end

      # How a server ended, which was told to.
      def ending(server)
        server.child.wait(within: TIMEOUT)
        killed = server.child.alive?
        server.child.stop(signal: :KILL)
        killed ? "did not end" : server.child.outcome
      end

      def tally(outcomes) = outcomes.tally.map { |outcome, number| "#{number} #{outcome}" }.join(", ")
    end
  end
end
