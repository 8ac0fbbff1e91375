# frozen_string_literal: true

require "optparse"
require_relative "bar"
require_relative "contestants"
require_relative "workload"

# What one comparison is to do: every number with its default, and the command line that changes it.
module Comparison
  Settings = Struct.new(:servers, :workloads, :rounds, :seconds, :warm_up, :connections, :baseline, :threads, :counts, :syscalls,
                        :json, :plots, :out, :bar, :workers, :proxy, :ruby, :yjit, :settle, keyword_init: true) do
    # All servers that are known; those that are not on this machine are left out.
    all_servers = %w[tidegate tidegate:1 core hyper puma8 puma falcon itsi iodine agoo pitchfork unicorn passenger webrick].freeze
    define_singleton_method(:all_servers) { all_servers }

    # The pictures that there are, and the workloads that they are drawn of unless others are asked for.
    all_plots = %w[latency threads memory].freeze
    define_singleton_method(:all_plots) { all_plots }
    plotted = %w[mixed sinatra].freeze
    define_singleton_method(:plotted) { plotted }

    def self.parse(argv)
      settings = new(servers: [], workloads: [], rounds: 5, seconds: 5, warm_up: 2, counts: Contestants::COUNTS, syscalls: true, plots: [], out: "plots",
                     ruby: "ruby", yjit: false)
      rest = settings.parser.parse(argv)
      raise OptionParser::InvalidArgument, rest.first unless rest.empty?

      settings.finish
    end

    def finish
      raise OptionParser::InvalidArgument, "every number is at least 1" unless positive?

      self.servers = bar ? Bar::SERVERS : self.class.all_servers if servers.empty?
      choose_workloads
      check_servers
      self.baseline ||= (servers.find { |name| name.start_with?("puma") } || servers.last).then { |name| Name.parse(name).label }
      raise OptionParser::InvalidArgument, "--baseline #{baseline} is not among #{servers.join(', ')}" unless labels.include?(baseline)

      self.ruby = interpreter
      freeze
    end

    def positive? = [rounds, seconds, warm_up, connections || 1, threads || 1, workers || 1, settle || 1, *counts].all?(&:positive?)

    # How the servers run, in words.
    def how
      [workers ? "#{workers} workers" : "one process", ("through HAProxy" if proxy), *(ruby.description if other_ruby?)].compact.join(", ")
    end

    # How many processes of each there are.
    def processes = workers || 1

    def parser
      OptionParser.new("usage: bench/run [options]") do |o|
        what_options(o)
        how_options(o)
        result_options(o)
      end
    end

    # The length of a try with one thread count.
    def try_seconds = [seconds, 3].min

    # For people, and as JSON.
    def to_h = super.merge(ruby: ruby.respond_to?(:description) ? ruby.description : ruby)

    private

    def labels = servers.map { |name| Name.parse(name).label }

    def other_ruby? = !ruby.equal?(Rig::Interpreter.default)

    # Its own `ruby` where nothing else is asked for; it is checked when something is measured.
    def interpreter = ruby == "ruby" && !yjit ? Rig::Interpreter.default : Rig::Interpreter.new(ruby, yjit:)

    def choose_workloads
      self.workloads = bar ? Bar.workloads : usual_workloads if workloads.empty?
      unknown = workloads - Workload.names
      raise OptionParser::InvalidArgument, "no workload #{unknown.first}: #{Workload.names.join(', ')}" unless unknown.empty?
    end

    def usual_workloads = plots.empty? ? ["hello"] : self.class.plotted

    def check_servers
      stranger = servers.find { |name| !Name.parse(name).known? }
      raise OptionParser::InvalidArgument, "no server #{stranger}: #{LIMITS.join(', ')}, #{Rig::Servers::KNOWN}, or a command with {port}" if stranger
    end

    def what_options(o)
      o.on("--workload A,B", Array, "#{Workload.names.join(', ')} (hello)") { |v| workloads.concat(v) }
      o.on("--all", "all of them") { workloads.replace(Workload.names) }
      o.on("--bar", "the table of bars, and all workloads that it needs unless --workload says otherwise") { self.bar = true }
      o.on("--servers A,B", Array, "#{self.class.all_servers.join(', ')} (those that are here); puma8:16 with 16 threads, tidegate:0:4000 with up to 4000; " \
                                   "falcon=PATH is a program, or a directory with the gem; core and hyper are what is possible without Ruby") { |v| servers.concat(v) }
      o.on("--server [NAME=]CMD", "another: a command with {host}, {port} and {app}; repeatable") { |v| add(v) }
      o.on("--baseline NAME", "what the ratios are to (the first Puma)") { |v| self.baseline = v }
    end

    # Beside the usual ones, unless --servers says otherwise.
    def add(command)
      servers.concat(self.class.all_servers) if servers.empty?
      servers << command
    end

    def how_options(o)
      o.on("--ruby PATH", "the Ruby that all servers run on (ruby); Tidegate has to be compiled for it") { |v| self.ruby = v }
      o.on("--yjit", "all servers with YJIT") { self.yjit = true }
      o.on("--rounds N", Integer, "turns of each server (#{rounds})") { |v| self.rounds = v }
      o.on("--seconds N", Integer, "length of a turn (#{seconds})") { |v| self.seconds = v }
      o.on("--warm-up N", Integer, "seconds before it that do not count (#{warm_up})") { |v| self.warm_up = v }
      o.on("--settle N", Integer, "seconds after which memory is looked at again (what the workload says)") { |v| self.settle = v }
      o.on("--connections N", Integer, "where the workload does not say (32)") { |v| self.connections = v }
      o.on("--threads N", Integer, "of every server that has a number to choose, instead of a search for the best; not of Tidegate") { |v| self.threads = v }
      o.on("--workers N", Integer, "processes of each server, under a master; all that is measured is of all of them") { |v| self.workers = v }
      o.on("--haproxy", "the load goes through HAProxy, which reuses its connections to the server") { self.proxy = true }
      o.on("--counts A,B", Array, "thread counts that the search tries (#{counts.join(',')})") { |v| self.counts = v.map { |n| Integer(n) } }
      o.on("--quick", "a look, not a measurement: 1 round of 1 s, 2 thread counts, no system calls") { quick }
    end

    def quick
      self.rounds, self.seconds, self.warm_up, self.counts, self.syscalls, self.settle = 1, 1, 1, [5, 16], false, 1
    end

    def result_options(o)
      o.on("--[no-]syscalls", "count system calls in a pass of its own (if perf or strace is here)") { |v| self.syscalls = v }
      o.on("--plot [KIND]", self.class.all_plots, "draw all or one of #{self.class.all_plots.join(', ')}: latency against load, CPU against threads, memory against connections; " \
                                                "of #{self.class.plotted.join(' and ')} unless --workload says otherwise") { |v| self.plots |= v ? [v] : self.class.all_plots }
      o.on("--out DIR", "where the pictures go (#{out})") { |v| self.out = v }
      o.on("--json FILE", "everything that was measured; - is the standard output") { |v| self.json = v }
    end
  end
end
