# frozen_string_literal: true

require_relative "floor"
require_relative "statistics"

# What Tidegate is to reach, whether it has, and what no server could: the floor. Ratios are to the baseline, Puma 8, or to the server that is named,
# at its own best thread count for that workload and number. It only says so: no test fails by it.
module Comparison
  class Bar
    # `number` as Turn#value knows it; `to` is :baseline or the name of a server for ratios within rounds, :possible for the ratio to
    # what is possible, :itself for the plain number.
    Goal = Struct.new(:workload, :what, :number, :to, :bound, :limit) do
      def reached?(value) = bound == :least ? value >= limit : value <= limit

      def ratio? = to != :itself

      def to_s = "#{bound == :least ? '>=' : '<='} #{format('%.4g', limit)}#{' x' if ratio?}"
    end

    def self.goal(workload, what, number, bound, limit, to: :baseline) = Goal.new(workload, what, number, to, bound, limit)

    # The defaults are to cost what another number of threads does not: the same, within what a run can tell.
    AS_CHEAP = 1.05

    def self.as_cheap_as(threads)
      %w[hello json sinatra rails post].map { |workload| goal(workload, "CPU, defaults : #{threads} threads", "cpu", :most, AS_CHEAP, to: "tidegate:#{threads}") }
    end

    GOALS = [
      goal("hello", "requests/s", "all.rate", :least, 6), goal("hello", "CPU per request", "cpu", :most, 1 / 7.0),
      goal("hello", "PSS after load", "pss", :most, 1.1), goal("hello", "CPU, to what is possible", "cpu", :most, 1.25, to: :possible),
      goal("json", "requests/s", "all.rate", :least, 3), goal("json", "CPU per request", "cpu", :most, 1, to: "agoo"),
      goal("close", "requests/s", "all.rate", :least, 5),
      goal("sinatra", "requests/s", "all.rate", :least, 3.1), goal("sinatra", "CPU per request", "cpu", :most, 1, to: "agoo"),
      goal("rails", "requests/s", "all.rate", :least, 1.2), goal("rails", "p99", "all.p99", :most, 1),
      *[1, 5, 16].flat_map { |threads| as_cheap_as(threads) },
      goal("cpu", "requests/s", "all.rate", :least, 1.7), goal("cpu", "p99", "all.p99", :most, 0.65),
      goal("sleep", "requests/s", "all.rate", :least, 2880, to: :itself),
      goal("sleep", "requests/s", "all.rate", :least, 1, to: "falcon"), goal("sleep", "CPU per request", "cpu", :most, 0.8, to: "falcon"),
      goal("mixed", "computing: requests/s", "cpu.rate", :least, 1), goal("mixed", "computing: p99", "cpu.p99", :most, 0.5),
      goal("mixed", "waiting: requests/s", "sleep.rate", :least, 1), goal("mixed", "waiting: p99", "sleep.p99", :most, 0.5),
      goal("mixed-open", "computing: p99", "cpu.p99", :most, 1 / 3.0), goal("mixed-open", "waiting: p99", "sleep.p99", :most, 1 / 3.0),
      goal("hog", "p99 of the small, ms", "small.p99", :most, 60, to: :itself),
      goal("post1m", "requests/s", "all.rate", :least, 3), goal("post1m", "peak memory", "peak", :most, 1),
      goal("post1m", "CPU per request", "cpu", :most, 1, to: "falcon"),
      goal("open", "CPU per request", "cpu", :most, 0.25), goal("open", "p99", "all.p99", :most, 0.5),
      goal("lone", "threads that wake, per request", "voluntary", :most, 2, to: :itself),
      *%w[waiting waiting10k].flat_map do |workload|
        [goal(workload, "requests/s", "waiting.rate", :least, 1, to: "falcon"), goal(workload, "CPU per request", "cpu", :most, 1, to: "falcon"),
         goal(workload, "peak memory", "peak", :most, 1, to: "falcon"), goal(workload, "small p99, with / without", "p99_growth", :most, 2, to: :itself),
         goal(workload, "memory left after a minute", "left", :most, 0.1, to: :itself)]
      end,
      goal("idle", "KiB per idle connection", "idle_kib", :most, 12, to: :itself),
      goal("idle", "busy p99, with / without", "p99_growth", :most, 1.2, to: :itself)
    ].freeze

    # All but the one that needs ten thousand threads: that is measured where it is asked for.
    def self.workloads = GOALS.map(&:workload).uniq - ["waiting10k"]

    # Those that the goals name. What is not here is left out, and its goals are not measured.
    SERVERS = %w[tidegate tidegate:1 core hyper puma8 falcon agoo].freeze

    # `floor` is in the goal's own unit.
    Row = Struct.new(:goal, :spread, :compared_with, :errors, :floor) do
      # true, false, or nil where it was not measured.
      def reached = spread && goal.reached?(spread.median)

      # Whether no server could.
      def out_of_reach? = !floor.nil? && !goal.reached?(floor)

      def verdict
        return "not measured" if reached.nil?

        reached ? "reached" : "not reached#{', nor can be' if out_of_reach?}"
      end
    end

    # `results` by the name of their workload.
    def initialize(results, server: "tidegate")
      @results, @server = results, server
    end

    def rows = GOALS.map { |goal| row(goal) }

    # Only the workloads that were measured.
    def to_s
      head = ["workload", "what", "bar", "measured (least-most)", "floor", "compared with", "verdict"]
      measured = rows.select { |row| @results.key?(row.goal.workload) }
      table = [head, *measured.map { |row| cells(row) }]
      widths = table.transpose.map { |column| column.map(&:length).max }
      table.map { |cells| cells.zip(widths).map { |cell, width| cell.ljust(width) }.join("  ").rstrip }.join("\n")
    end

    def to_h
      rows.map { |row| { **row.goal.to_h, verdict: row.verdict, compared_with: row.compared_with, errors: row.errors, floor: row.floor, **row.spread.to_h } }
    end

    private

    def row(goal)
      result = @results[goal.workload]
      return Row.new(goal) unless result&.servers&.include?(@server)

      Row.new(goal, spread(result, goal), compared_with(result, goal), result.errors(@server), floor(result, goal))
    end

    def spread(result, goal)
      case goal.to
      when :itself then result.number(@server, goal.number)
      when :possible then result.to_possible(@server)
      when :baseline then result.ratio(@server, goal.number)
      else result.ratio(@server, goal.number, to: goal.to)
      end
    end

    def compared_with(result, goal)
      case goal.to
      when :itself then nil
      when :possible then "core + the app alone"
      when :baseline then result.baseline(goal.number)
      else result.contestant_of(goal.to, goal.number)
      end
    end

    def floor(result, goal)
      return 1.0 if goal.to == :possible

      floor = Floor.new(result).of(goal.number)
      return floor unless goal.ratio?

      other = result.number(compared_with(result, goal), goal.number)
      floor / other.median if floor && other&.median&.positive?
    end

    def cells(row)
      measured = row.spread ? row.spread.to_s(row.spread.median.abs < 1 ? 3 : 2) : "-"
      floor = row.floor ? "#{format('%.3g', row.floor)}#{' x' if row.goal.ratio?}" : "-"
      errors = row.errors.to_i.positive? ? ", #{row.errors} errors" : ""
      [row.goal.workload, row.goal.what, row.goal.to_s, measured, floor, row.compared_with || "-", row.verdict + errors]
    end
  end
end
