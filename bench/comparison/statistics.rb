# frozen_string_literal: true

# Medians, spreads, and ratios within rounds. Knows nothing of what the numbers mean.
module Comparison
  # The middle of a number over the rounds, and the least and the most.
  Spread = Struct.new(:median, :least, :most) do
    def to_s(digits = 2) = format("%.#{digits}f (%.#{digits}f-%.#{digits}f)", median, least, most)
  end

  module Statistics
    module_function

    def median(numbers)
      raise ArgumentError, "no numbers" if numbers.empty?

      sorted = numbers.sort
      (sorted[(sorted.size - 1) / 2] + sorted[sorted.size / 2]) / 2.0
    end

    def spread(numbers) = Spread.new(median(numbers), *numbers.minmax.map(&:to_f))

    # Ours divided by theirs in each round that both were in; both are Hashes by round. Two rounds on a busy machine do not
    # compare, so the ratio is taken before the median. A number that is nothing or nought on their side has no ratio.
    def ratios(ours, theirs)
      (ours.keys & theirs.keys).filter_map { |round| ours[round].fdiv(theirs[round]) if ours[round] && theirs[round]&.positive? }
    end
  end
end
