# frozen_string_literal: true

require_relative "statistics"

# What one workload's turns say. Every ratio is taken within a round and only then the median.
module Comparison
  class Result
    # The server that gives the app's answers with Tidegate's core, without Ruby.
    CORE = "core"

    attr_reader :workload, :turns, :missing, :how, :alone, :processes

    # `contestants` knows the server compared with for a number (Contestants), `alone` is what the app takes without a server or nil, `syscalls`
    # are per request by server; `how` the servers ran, in words, and in how many `processes` each.
    def initialize(workload, turns, contestants:, alone: nil, syscalls: {}, missing: {}, how: "one process", processes: 1)
      @workload, @turns, @contestants, @alone, @syscalls, @missing = workload, turns, contestants, alone, syscalls, missing
      @how, @processes = how, processes
      @by_server = turns.group_by(&:server)
    end

    def servers = @by_server.keys

    # The names of all kinds of request that were measured.
    def clients = @workload.kinds

    # What the searches found, by the name of the server.
    def found = @contestants.found

    def baseline(number) = @contestants.baseline_for(number)

    # The contestant of that server that is best in that number.
    def contestant_of(label, number) = @contestants.contestant_of(label, number)

    def syscalls(server) = @syscalls[server]

    # That number of that server by round.
    def rounds(server, number) = @by_server.fetch(server, []).to_h { |turn| [turn.round, turn.value(number)] }.compact

    # Its Spread over the rounds, or nil where it was not measured.
    def number(server, number) = spread(rounds(server, number).values)

    # The Spread of its ratio to the server that it is compared with in that number, or `to` another; nil where one was not measured.
    def ratio(server, number, to: nil)
      other = to ? contestant_of(to, number) : baseline(number)
      spread(Statistics.ratios(rounds(server, number), rounds(other, number)))
    end

    # The Spread of its CPU to what is possible: the core with a Rust worker, and what the app takes by itself.
    def to_possible(server)
      spread(Statistics.ratios(rounds(server, "cpu"), possible(server)))
    end

    # CPU per request that is possible, by round, for what that server was asked.
    def possible(server)
      return {} unless @alone

      core = rounds(CORE, "cpu")
      @by_server.fetch(server, []).to_h { |turn| [turn.round, sum(core[turn.round], @alone.cpu_of(turn))] }.compact
    end

    def errors(server) = @by_server.fetch(server).sum(&:errors)

    def errors? = servers.any? { |server| errors(server).positive? }

    def to_h
      { workload: @workload.name, how: @how, load: @workload.load, clients: @workload.clients, idle: @workload.idle, alone: @alone.to_h,
        threads: found.transform_values { |one| { best: one.best, tried: one.tried } }, missing: @missing,
        servers: servers.to_h { |server| [server, of(server)] } }.compact
    end

    private

    def spread(values) = values.empty? ? nil : Statistics.spread(values)

    def sum(*numbers) = numbers.all? ? numbers.sum : nil

    def of(server)
      { syscalls: syscalls(server), errors: errors(server), ratios: ratios(server), possible: to_possible(server)&.to_h,
        rounds: @by_server[server].map(&:to_h) }
    end

    def ratios(server)
      names = [*clients.flat_map { |client| %w[rate p50 p99 p999].map { |number| "#{client}.#{number}" } }, "cpu", "pss", "peak", "switches"]
      names.to_h do |name|
        others = (servers - [server]).to_h { |other| [other, ratio_within_rounds(server, other, name)&.to_h] }.compact
        [name, { to: baseline(name), **ratio(server, name).to_h, others: }]
      end
    end

    def ratio_within_rounds(server, other, name) = spread(Statistics.ratios(rounds(server, name), rounds(other, name)))
  end
end
