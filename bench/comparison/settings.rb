# frozen_string_literal: true

require "optparse"
require_relative "contestants"
require_relative "workload"

# What one comparison is to do: every number with its default, and the command line that changes it.
module Comparison
  Settings = Struct.new(:servers, :workloads, :rounds, :seconds, :warm_up, :connections, :baseline, :threads, :counts, :syscalls,
                        :json, :plot, :bar, :workers, :proxy, keyword_init: true) do
    # All servers that are known; those that are not on this machine are left out.
    all_servers = %w[tidegate puma8 puma unicorn passenger].freeze
    define_singleton_method(:all_servers) { all_servers }

    def self.parse(argv)
      settings = new(servers: [], workloads: [], rounds: 5, seconds: 5, warm_up: 2, counts: Contestants::COUNTS, syscalls: true)
      rest = settings.parser.parse(argv)
      raise OptionParser::InvalidArgument, rest.first unless rest.empty?

      settings.finish
    end

    def finish
      raise OptionParser::InvalidArgument, "every number is at least 1" unless positive?

      self.servers = bar ? %w[tidegate puma8] : self.class.all_servers if servers.empty?
      self.workloads = ["hello"] if workloads.empty? && !bar
      unknown = workloads - Workload.names
      raise OptionParser::InvalidArgument, "no workload #{unknown.first}: #{Workload.names.join(', ')}" unless unknown.empty?

      stranger = servers.find { |name| !Rig::Servers.known?(name.sub(Contestants::OWN_COUNT, '\1')) }
      raise OptionParser::InvalidArgument, "no server #{stranger}: #{Rig::Servers::KNOWN}, or a command with {port}" if stranger

      self.baseline ||= servers.find { |name| name.start_with?("puma") } || servers.last
      raise OptionParser::InvalidArgument, "--baseline #{baseline} is not among #{servers.join(', ')}" unless servers.include?(baseline)

      freeze
    end

    def positive? = [rounds, seconds, warm_up, connections || 1, threads || 1, workers || 1, *counts].all?(&:positive?)

    # How the servers run, in words.
    def how = [workers ? "#{workers} workers" : "one process", ("through HAProxy" if proxy)].compact.join(", ")

    def parser
      OptionParser.new("usage: bench/run [options]") do |o|
        what_options(o)
        how_options(o)
        result_options(o)
      end
    end

    # The length of a try with one thread count.
    def try_seconds = [seconds, 3].min

    private

    def what_options(o)
      o.on("--workload A,B", Array, "#{Workload.names.join(', ')} (hello)") { |v| workloads.concat(v) }
      o.on("--all", "all of them") { workloads.replace(Workload.names) }
      o.on("--bar", "what the table of bars needs, and that table") { self.bar = true }
      o.on("--servers A,B", Array, "#{self.class.all_servers.join(', ')} (those that are here); puma8:16 or tidegate:16 with 16 threads; tidegate-tied does not hand over") { |v| servers.concat(v) }
      o.on("--server [NAME=]CMD", "another: a command with {host}, {port} and {app}; repeatable") { |v| add(v) }
      o.on("--baseline NAME", "what the ratios are to (the first Puma)") { |v| self.baseline = v }
    end

    # Beside the usual ones, unless --servers says otherwise.
    def add(command)
      servers.concat(self.class.all_servers) if servers.empty?
      servers << command
    end

    def how_options(o)
      o.on("--rounds N", Integer, "turns of each server (#{rounds})") { |v| self.rounds = v }
      o.on("--seconds N", Integer, "length of a turn (#{seconds})") { |v| self.seconds = v }
      o.on("--warm-up N", Integer, "seconds before it that do not count (#{warm_up})") { |v| self.warm_up = v }
      o.on("--connections N", Integer, "where the workload does not say (32)") { |v| self.connections = v }
      o.on("--threads N", Integer, "of every Puma, instead of a search for the best") { |v| self.threads = v }
      o.on("--workers N", Integer, "processes of each server, under a master; all that is measured is of all of them") { |v| self.workers = v }
      o.on("--haproxy", "the load goes through HAProxy, which reuses its connections to the server") { self.proxy = true }
      o.on("--counts A,B", Array, "thread counts that the search tries (#{counts.join(',')})") { |v| self.counts = v.map { |n| Integer(n) } }
      o.on("--quick", "a look, not a measurement: 1 round of 1 s, 2 thread counts, no system calls") { quick }
    end

    def quick
      self.rounds, self.seconds, self.warm_up, self.counts, self.syscalls = 1, 1, 1, [5, 16], false
    end

    def result_options(o)
      o.on("--[no-]syscalls", "count system calls in a pass of its own (if perf or strace is here)") { |v| self.syscalls = v }
      o.on("--plot DIR", "latency against load, one SVG for each workload that has a load") { |v| self.plot = v }
      o.on("--json FILE", "everything that was measured; - is the standard output") { |v| self.json = v }
    end
  end
end
