# frozen_string_literal: true

require_relative "statistics"

# What one workload's turns say. Every ratio is taken within a round and only then the median.
module Comparison
  class Result
    attr_reader :workload, :turns, :found, :missing, :how

    # `syscalls` per request by server, `baselines` the server compared with for a number: anything that answers []; `how` the
    # servers ran, in words.
    def initialize(workload, turns, baselines:, syscalls: {}, found: nil, missing: {}, how: "one process")
      @workload, @turns, @baselines, @syscalls, @found, @missing = workload, turns, baselines, syscalls, found, missing
      @how = how
      @by_server = turns.group_by(&:server)
    end

    def servers = @by_server.keys

    # The names of all kinds of request that were measured.
    def clients = @workload.kinds

    def baseline(number) = @baselines[number]

    def syscalls(server) = @syscalls[server]

    # That number of that server by round.
    def rounds(server, number) = @by_server.fetch(server, []).to_h { |turn| [turn.round, turn.value(number)] }.compact

    # Its Spread over the rounds, or nil where it was not measured.
    def number(server, number)
      values = rounds(server, number).values
      Statistics.spread(values) unless values.empty?
    end

    # The Spread of its ratio to the server that it is compared with in that number, or nil.
    def ratio(server, number)
      ratios = Statistics.ratios(rounds(server, number), rounds(baseline(number), number))
      Statistics.spread(ratios) unless ratios.empty?
    end

    def errors(server) = @by_server.fetch(server).sum(&:errors)

    def errors? = servers.any? { |server| errors(server).positive? }

    def to_h
      { workload: @workload.name, how: @how, load: @workload.load, clients: @workload.clients, idle: @workload.idle,
        threads: found && { best: found.best, tried: found.tried }, missing: @missing,
        servers: servers.to_h { |server| [server, { syscalls: syscalls(server), errors: errors(server), ratios: ratios(server), rounds: @by_server[server].map(&:to_h) }] } }.compact
    end

    private

    def ratios(server)
      names = [*clients.flat_map { |client| %w[rate p50 p99 p999].map { |number| "#{client}.#{number}" } }, "cpu", "pss", "peak"]
      names.to_h { |name| [name, { to: baseline(name), **ratio(server, name).to_h }] }
    end
  end
end
