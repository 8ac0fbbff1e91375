# frozen_string_literal: true

require "optparse"
require_relative "../rollout/client"

# What a run of bench/chaos/run is to do, by default and as the command line has it.
module Chaos
  RESTARTS = %w[phased hot max_requests max_memory refork].freeze

  USAGE = <<~TEXT
    usage: bench/chaos/run --kills 50                       kills workers under load
           bench/chaos/run --restart phased --times 10      replaces workers under load
  TEXT

  Settings = Struct.new(:workers, :kills, :signals, :restart, :times, :rate, :rtt, :clients, :seed, :verbose, keyword_init: true) do
    # @raise [OptionParser::ParseError]
    def self.parse(argv)
      given = new(workers: 4, kills: 50, signals: [], times: 10, rate: 300.0, rtt: 0.0, seed: Random.new_seed % 100_000)
      rest = parser(given).parse(argv)
      raise OptionParser::InvalidArgument, rest.first unless rest.empty?

      given.check.freeze
    end

    def self.parser(given)
      OptionParser.new(USAGE) do |o|
        o.on("--workers N", Integer, "workers of the cluster (#{given.workers})") { |value| given.workers = value }
        o.on("--kills N", Integer, "how often a random worker is killed (#{given.kills})") { |value| given.kills = value }
        o.on("--signals LIST", Array, "to the master too, now and then: USR1, USR2, URG, TTIN, TTOU, HUP") { |value| given.signals = value }
        o.on("--restart HOW", RESTARTS, "replace workers instead: #{RESTARTS.join(", ")}") { |value| given.restart = value }
        o.on("--times N", Integer, "how often all of them are (#{given.times})") { |value| given.times = value }
        o.on("--rate N", Float, "requests per second of the clients (#{given.rate})") { |value| given.rate = value }
        o.on("--rtt S", Float, "round trip to the clients, in seconds; needs root (#{given.rtt})") { |value| given.rtt = value }
        o.on("--clients LIST", Array, "only these kinds of clients of bin/rollout") { |value| given.clients = value }
        o.on("--seed N", Integer, "which workers are killed, and when (at random)") { |value| given.seed = value }
        o.on("--verbose", "print what the server says") { given.verbose = true }
      end
    end

    # Raises what is wrong with it.
    def check
      Rollout::Client.kinds(clients)
      raise OptionParser::InvalidArgument, "a cluster has 1 to 16 workers" unless workers.between?(1, 16)
      raise OptionParser::InvalidArgument, "a run needs a rate, and something to do" unless rate.positive? && kills.positive? && times.positive?

      self
    rescue ArgumentError => error
      raise OptionParser::InvalidArgument, error.message
    end
  end
end
