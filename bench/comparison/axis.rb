# frozen_string_literal: true

# An axis of a Chart: which round numbers it has, and where a value is on it.
module Comparison
  class Axis
    attr_reader :label, :ticks

    # An axis with the round numbers that hold these values: 1, 2 and 5 times the powers of ten.
    def self.logarithmic(label, values, from:, to:) = new(label, log_ticks(values), from:, to:, log: true)

    # One from nought, with steps that are round.
    def self.linear(label, values, from:, to:) = new(label, linear_ticks(values), from:, to:)

    # A logarithmic one whose ticks are the values themselves, such as numbers of threads.
    def self.of(label, values, from:, to:)
      ticks = values.uniq.sort
      new(label, ticks.size > 1 ? ticks : [ticks.first, ticks.first * 2], from:, to:, log: true)
    end

    def self.log_ticks(values)
      least, most = values.select(&:positive?).minmax
      least, most = 1, 1 unless least
      powers = (Math.log10(least).floor..Math.log10(most).ceil)
      all = powers.flat_map { |power| [1, 2, 5].map { |digit| digit * 10.0**power } }
      first = all.rindex { |tick| tick <= least * 1.000001 } || 0
      last = all.index { |tick| tick >= most * 0.999999 } || -1
      all[first..last].then { |ticks| ticks.size > 1 ? ticks : [ticks.first, ticks.first * 2] }
    end

    MOST_STEPS = 7

    def self.linear_ticks(values)
      most = [values.max.to_f, 0.0].max
      return [0.0, 1.0] if most.zero?

      power = 10.0**(Math.log10(most).floor - 1)
      step = [1, 2, 5, 10, 20, 50].map { |digit| digit * power }.find { |one| (most / one).ceil <= MOST_STEPS }
      (0..(most / step - 1e-9).ceil).map { |count| count * step }
    end

    # From the first tick at `from` to the last at `to`, in the picture's units.
    def initialize(label, ticks, from:, to:, log: false)
      @label, @ticks, @from, @to, @log = label, ticks, from, to, log
    end

    # What is below the first tick is on the edge.
    def place(value)
      first, last = @ticks.first, @ticks.last
      value = [value, first].max
      share = @log ? Math.log(value / first.to_f) / Math.log(last / first.to_f) : (value - first) / (last - first)
      (@from + (@to - @from) * share).round(1)
    end

    # As the number is written beside the axis.
    def self.text(number) = number >= 10_000 ? "#{format('%g', number / 1000.0)} k" : format("%g", number)
  end
end
