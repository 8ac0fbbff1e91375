# frozen_string_literal: true

require "optparse"
require_relative "workload"

# What one comparison is to do: every number with its default, and the command line that changes it.
module Comparison
  Settings = Struct.new(:servers, :workload, :rounds, :seconds, :warm_up, :connections, :baseline, :json, keyword_init: true) do
    def self.parse(argv)
      settings = new(servers: [], workload: "hello", rounds: 5, seconds: 5, warm_up: 2, connections: 32, json: false)
      rest = settings.parser.parse(argv)
      raise OptionParser::InvalidArgument, rest.first unless rest.empty?
      raise OptionParser::InvalidArgument, "every number is at least 1" unless settings.positive?

      settings.servers = %w[tidegate puma8 puma] if settings.servers.empty?
      settings.freeze
    end

    def positive? = [rounds, seconds, warm_up, connections].all?(&:positive?)

    def parser
      OptionParser.new("usage: bench/run [options]") do |o|
        o.on("--servers A,B", Array, "known by name: tidegate, puma8, puma (all of them)") { |v| servers.concat(v) }
        o.on("--server [NAME=]CMD", "another: a command with {host}, {port} and {app}; repeatable") { |v| servers << v }
        o.on("--baseline NAME", "what the ratios are to (the first Puma)") { |v| self.baseline = v }
        o.on("--workload NAME", "#{Workload.names.join(', ')} (#{workload})") { |v| self.workload = v }
        o.on("--rounds N", Integer, "turns of each server (#{rounds})") { |v| self.rounds = v }
        o.on("--seconds N", Integer, "length of a turn (#{seconds})") { |v| self.seconds = v }
        o.on("--warm-up N", Integer, "seconds before it that do not count (#{warm_up})") { |v| self.warm_up = v }
        o.on("--connections N", Integer, "keep-alive connections (#{connections})") { |v| self.connections = v }
        o.on("--json", "print everything as JSON") { self.json = true }
      end
    end

    # The name that ratios are to, among those servers.
    def baseline_of(names)
      name = baseline || names.find { |other| other.start_with?("puma") } || names.last
      raise OptionParser::InvalidArgument, "--baseline #{name} is not among #{names.join(', ')}" unless names.include?(name)

      name
    end

    def to_s
      "#{workload}: #{connections} keep-alive connections, 1 process, 5 threads, median of #{rounds} rounds of #{seconds} s"
    end
  end
end
