# frozen_string_literal: true

require "fileutils"
require_relative "chart"
require_relative "limit"
require_relative "sweep"

# The pictures of bench/run --plot: what is measured for each of them, and the Charts of it, as files of a directory.
module Comparison
  class Plots
    Series = Chart::Series

    # Connections that have asked once and are kept.
    CONNECTIONS = [0, 100, 1000, 2500, 5000, 10_000].freeze

    HELLO = "hello"

    # All that was measured, by the name of the picture.
    attr_reader :measured

    # The block is told sentences.
    def initialize(settings, generator:, &say)
      @settings, @generator, @say = settings, generator, say
      @measured = {}
    end

    # Those of one workload that were asked for: the names of the files.
    def draw(workload, result, contestants)
      [*(latency(workload, result, contestants) if wanted?("latency")), *(threads(workload, contestants) if wanted?("threads")),
       *(memory(contestants) if wanted?("memory") && @measured.keys.none?("memory"))]
    end

    private

    def wanted?(kind) = @settings.plots.include?(kind)

    # One for each kind of client.
    def latency(workload, result, contestants)
      return left_out(workload, "has a load of its own") unless Sweep.fits?(workload)

      ruby = contestants.to_a.select { |contestant| result.servers.include?(contestant.name) && !LIMITS.include?(contestant.name) }
      sweep = Sweep.new(workload, settings: @settings, generator: @generator, &@say)
      loads = sweep.call(ruby, ->(server, client) { most(result, server, client, ruby.map(&:name)) })
      workload.kinds.filter_map do |kind|
        series = loads.flat_map { |server, all| latency_series(server, all.map { |points| points.fetch(kind) }) }
        name, title = workload.kinds.size > 1 ? ["latency-#{workload.name}-#{kind}", "#{workload.name}, #{kind}"] : ["latency-#{workload.name}", workload.name]
        write(name, "#{title}: latency against load", series, loads, x: "requests per second, by the clock", y: "latency, ms")
      end
    end

    # Requests per second that a server has answered. Where several kinds of client compete for it, the most that any server has: all are asked for the
    # same mix then.
    def most(result, server, client, servers)
      (result.clients.size > 1 ? servers : [server]).map { |one| result.number(one, "#{client}.rate").median }.max
    end

    def latency_series(server, points)
      [Series.new(name: "#{server} p99", points: points.map { |point| [point.offered, point.p99] }, group: server),
       Series.new(name: "#{server} p50", points: points.map { |point| [point.offered, point.p50] }, group: server, dashed: true)]
    end

    # CPU per request with each number of threads; servers that have none to choose, and Tidegate's defaults, as a line across.
    def threads(workload, contestants)
      counts = workload.counts || @settings.counts
      having, without = contestants.servers_with_threads, contestants.without_threads
      least = least_cpu(workload, [*having.product(counts).map { |server, count| -> { contestants.with_threads(server, count) } },
                                   *without.map { |contestant| -> { contestant } }])
      series = having.each_with_index.filter_map do |server, index|
        points = counts.zip(least[index * counts.size, counts.size]).select(&:last)
        Series.new(name: server, points:, group: server) unless points.empty?
      end
      series += without.zip(least.last(without.size)).filter_map { |contestant, cpu| across(counts, contestant, cpu) }
      write("threads-#{workload.name}", "#{workload.name}: CPU per request against threads", series, series.to_h { |one| [one.name, one.points] },
            x: "threads", y: "CPU per request, us", x_scale: :values, y_scale: :linear)
    end

    def across(counts, contestant, cpu)
      name = contestant.name == "tidegate" ? "tidegate's defaults" : contestant.name
      Series.new(name:, points: counts.minmax.map { |count| [count, cpu] }, group: contestant.name, dashed: true) if cpu
    end

    # Of each contestant, the least of all rounds, in which each has a turn: a machine that is slow for a while only adds. nil for one that
    # cannot be had.
    def least_cpu(workload, contestants)
      stage = Stage.new(workload, generator: @generator, warm_up: @settings.warm_up, proxy: @settings.proxy)
      Array.new(@settings.rounds) { contestants.map { |contestant| cpu(stage, contestant) } }.transpose.map { |turns| turns.compact.min }
    end

    def cpu(stage, contestant)
      contestant = contestant.call
      turn = stage.turn(contestant, 0, seconds: @settings.try_seconds, whole: false)
      @say.call(format("%s: %.1f us of CPU per request", contestant.name, turn.cpu))
      turn.cpu
    rescue Rig::Unavailable => error
      @say.call(error.message)
      nil
    end

    # Of hello, whatever is measured beside it; each connection has asked once.
    def memory(contestants)
      workload = Workload.find(HELLO, connections: @settings.connections)
      stage = Stage.new(workload, generator: @generator, warm_up: @settings.warm_up)
      room = Process.getrlimit(:NOFILE).first - 200
      series = contestants.to_a.reject { |contestant| LIMITS.include?(contestant.name) }.filter_map do |contestant|
        points = stage.with(contestant.kind) { |server, usage, _| CONNECTIONS.select { |count| count < room }.map { |count| [count, held(server, usage, workload, count)] } }
        Series.new(name: contestant.name, points:, group: contestant.name)
      rescue Rig::Unavailable => error
        @say.call("#{contestant.name}: #{error.message}")
        nil
      end
      write("memory", "#{workload.name}: memory against idle connections", series, series.to_h { |one| [one.name, one.points] },
            x: "connections that have asked once", y: "PSS, MiB", x_scale: :linear, y_scale: :linear)
    end

    def held(server, usage, workload, count)
      pss = nil
      count.zero? ? pss = usage.pss : @generator.hold(server.address, workload.clients.first, count) { pss = usage.pss }
      @say.call(format("%s with %d connections: %.1f MiB", server.kind.name, count, pss))
      pss
    end

    # The file that was written; nil where there is nothing to draw.
    def write(name, title, series, data, **axes)
      return left_out(name, "has nothing to draw") if series.empty?

      FileUtils.mkdir_p(@settings.out)
      @measured[name] = data
      path = File.join(@settings.out, "#{name}.svg")
      File.write(path, Chart.new(title, series, **axes).to_svg)
      path
    end

    def left_out(what, why)
      @say.call("#{what.respond_to?(:name) ? what.name : what} is not plotted: it #{why}")
      nil
    end
  end
end
