# frozen_string_literal: true

require_relative "statistics"

# What Tidegate is to reach, and whether it has. Ratios are to the baseline, Puma 8, at its own best thread count for that
# workload and number. It only says so: no test fails by it.
module Comparison
  class Bar
    # `number` as Turn#value knows it; `to` is :baseline for ratios within rounds, :itself for the plain number.
    Goal = Struct.new(:workload, :what, :number, :to, :bound, :limit) do
      def reached?(value) = bound == :least ? value >= limit : value <= limit

      def to_s = "#{bound == :least ? '>=' : '<='} #{format('%.4g', limit)}#{' x' if to == :baseline}"
    end

    def self.goal(workload, what, number, bound, limit, to: :baseline) = Goal.new(workload, what, number, to, bound, limit)

    GOALS = [
      goal("hello", "requests/s", "all.rate", :least, 6), goal("hello", "CPU per request", "cpu", :most, 1 / 7.0),
      goal("hello", "PSS after load", "pss", :most, 1.1),
      goal("json", "requests/s", "all.rate", :least, 3), goal("close", "requests/s", "all.rate", :least, 5),
      goal("sinatra", "requests/s", "all.rate", :least, 2.2),
      goal("rails", "requests/s", "all.rate", :least, 1.2), goal("rails", "p99", "all.p99", :most, 1),
      goal("cpu", "requests/s", "all.rate", :least, 1.7), goal("cpu", "p99", "all.p99", :most, 0.65),
      goal("sleep", "requests/s", "all.rate", :least, 2880, to: :itself),
      goal("mixed", "computing: requests/s", "cpu.rate", :least, 1), goal("mixed", "computing: p99", "cpu.p99", :most, 0.5),
      goal("mixed", "waiting: requests/s", "sleep.rate", :least, 1), goal("mixed", "waiting: p99", "sleep.p99", :most, 0.5),
      goal("hog", "p99 of the small, ms", "small.p99", :most, 60, to: :itself),
      goal("post1m", "requests/s", "all.rate", :least, 3), goal("post1m", "peak memory", "peak", :most, 1),
      goal("open", "CPU per request", "cpu", :most, 0.25), goal("open", "p99", "all.p99", :most, 0.5),
      goal("idle", "KiB per idle connection", "idle_kib", :most, 12, to: :itself),
      goal("idle", "busy p99, with / without", "p99_growth", :most, 1.2, to: :itself)
    ].freeze

    def self.workloads = GOALS.map(&:workload).uniq

    Row = Struct.new(:goal, :spread, :compared_with, :errors) do
      # true, false, or nil where it was not measured.
      def reached = spread && goal.reached?(spread.median)

      def verdict = { true => "reached", false => "not reached", nil => "not measured" }.fetch(reached)
    end

    # `results` by the name of their workload.
    def initialize(results, server: "tidegate")
      @results, @server = results, server
    end

    def rows = GOALS.map { |goal| row(goal) }

    def to_s
      head = ["workload", "what", "bar", "measured (least-most)", "compared with", "verdict"]
      table = [head, *rows.map { |row| cells(row) }]
      widths = table.transpose.map { |column| column.map(&:length).max }
      table.map { |cells| cells.zip(widths).map { |cell, width| cell.ljust(width) }.join("  ").rstrip }.join("\n")
    end

    def to_h
      rows.map { |row| { **row.goal.to_h, verdict: row.verdict, compared_with: row.compared_with, errors: row.errors, **row.spread.to_h } }
    end

    private

    def row(goal)
      result = @results[goal.workload]
      return Row.new(goal) unless result&.servers&.include?(@server)

      ratio = goal.to == :baseline
      Row.new(goal, ratio ? result.ratio(@server, goal.number) : result.number(@server, goal.number),
              (result.baseline(goal.number) if ratio), result.errors(@server))
    end

    def cells(row)
      measured = row.spread ? row.spread.to_s(row.spread.median.abs < 1 ? 3 : 2) : "-"
      errors = row.errors.to_i.positive? ? ", #{row.errors} errors" : ""
      [row.goal.workload, row.goal.what, row.goal.to_s, measured, row.compared_with || "-", row.verdict + errors]
    end
  end
end
