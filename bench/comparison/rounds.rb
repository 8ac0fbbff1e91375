# frozen_string_literal: true

require_relative "usage"
require_relative "workload"

# The measuring: rounds in which every server has one turn, in an order that changes with the round, so that
# a noisy minute does not hit the same server each time.
module Comparison
  # One turn of one server. CPU is in microseconds per request, memory in MiB.
  Turn = Struct.new(:server, :round, :rate, :p50, :p99, :cpu, :rss, :pss, :errors, keyword_init: true)

  class Rounds
    def initialize(kinds, workload:, settings:, &say)
      @kinds, @workload, @settings, @say = kinds, workload, settings, say
    end

    def call
      (1..@settings.rounds).flat_map do |round|
        @kinds.rotate(round - 1).map { |kind| turn(kind, round).tap(&@say) }
      end
    end

    private

    # A fresh process, warmed up, measured, stopped.
    def turn(kind, round)
      host = "127.0.0.1"
      server = kind.start(host:, port: Rig::Servers.free_port(host), app: @workload.app).ready!
      same_answer!(server)
      @workload.load(server.address, connections: @settings.connections, seconds: @settings.warm_up)
      measure(server, round)
    ensure
      server&.child&.stop(signal: :INT)
    end

    def same_answer!(server)
      answer = @workload.answer(server)
      return if answer == (@answer ||= answer) && answer.first == "200"

      raise Rig::Unavailable, "#{server.kind.name} answers #{answer.inspect[0, 80]}, not #{@answer.inspect[0, 80]}"
    end

    def measure(server, round)
      usage = Usage.new(server.child.pid)
      before = usage.cpu
      sample = @workload.load(server.address, connections: @settings.connections, seconds: @settings.seconds)
      spent = usage.cpu - before
      rss, pss = usage.memory
      Turn.new(server: server.kind.name, round:, rate: sample.rate, p50: sample.p50, p99: sample.p99,
               cpu: spent * 1e6 / sample.requests, rss:, pss:, errors: sample.errors)
    end
  end
end
