# frozen_string_literal: true

require "json"
require_relative "bar"
require_relative "calibration"
require_relative "plots"
require_relative "rounds"
require_relative "settings"
require_relative "summary"

# bench/run: measures what the settings say, one workload after the other, and prints it.
module Comparison
  class Command
    def initialize(settings, out: $stdout, err: $stderr)
      @settings, @out, @err = settings, out, err
      # Everything for people goes elsewhere when the JSON has the standard output.
      @out = err if settings.json == "-"
      @json = out
      @results = {}
    end

    # Whether every request was answered.
    def call
      @settings.ruby.check!
      @generator = Generator.build
      @limit = limit
      @plots = Plots.new(@settings, generator: @generator) { |news| @err.puts "  #{news}" }
      prepare
      @settings.workloads.each { |name| one(Workload.find(name, connections: @settings.connections)) }
      raise Rig::Unavailable, "nothing could be measured" if @results.empty?

      @out.puts "", Bar.new(@results) if @settings.bar
      write_json if @settings.json
      @results.values.none?(&:errors?)
    end

    private

    # nil where it is not wanted, or cannot be built.
    def limit
      return unless @settings.servers.any? { |name| LIMITS.include?(Name.parse(name).server) }

      @err.puts "building bench/limit, which takes minutes where nothing of it is built yet"
      Limit.build
    rescue Rig::Unavailable => error
      @err.puts error.message
      nil
    end

    def prepare
      hard = Process.getrlimit(:NOFILE).last
      Process.setrlimit(:NOFILE, hard, hard) # the servers inherit it
      ENV["BENCH_SPIN"] = Calibration.per_ms(@settings.ruby).to_s
    end

    def one(workload)
      @err.puts "#{workload.name}: #{workload.summary}"
      rounds = Rounds.new(workload, settings: @settings, generator: @generator, limit: @limit) { |news| say(workload, news) }
      result = @results[workload.name] = rounds.call
      @out.puts Summary.new(result), ""
      @plots.draw(workload, result, rounds.contestants).each { |path| @out.puts "wrote #{path}" }
    rescue Rig::Unavailable => error
      @err.puts "#{workload.name}: #{error.message}"
    end

    def say(workload, news)
      return @err.puts("  #{news}") unless news.is_a?(Turn)

      clients = news.samples.map do |name, sample|
        format("%s%.0f req/s p99 %.2f ms", news.samples.size > 1 ? "#{name} " : "", sample.rate, sample.p99)
      end
      @err.puts format("  %s %s  %-10s %s  %.1f us CPU/req  %d errors", workload.name, news.round.zero? ? "try" : "round #{news.round}",
                       news.server, clients.join("  "), news.cpu, news.errors)
    end

    def write_json
      text = JSON.pretty_generate(machine:, settings: @settings.to_h, spin_per_ms: ENV.fetch("BENCH_SPIN"),
                                  workloads: @results.transform_values(&:to_h), plots: @plots.measured, bar: (Bar.new(@results).to_h if @settings.bar))
      @settings.json == "-" ? @json.puts(text) : File.write(@settings.json, "#{text}\n")
    end

    # What a reader has to know of the machine: a busy one makes every number but the ratios worthless, and those unsure.
    def machine
      { ruby: @settings.ruby.description, cores: Etc.nprocessors, load_average: File.read("/proc/loadavg").split.first(3).map(&:to_f), time: Time.now.utc.to_s }
    end
  end
end
