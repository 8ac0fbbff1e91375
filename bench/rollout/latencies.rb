# frozen_string_literal: true

# How long many requests took, in little memory: counts in buckets, each a tenth wider than the one before.
# A percentile is the upper edge of its bucket, so at most a tenth too high; the maximum is exact.
module Rollout
  class Latencies
    SMALLEST = 0.0001 # seconds; all below is one bucket
    WIDTH = Math.log(1.1)

    attr_reader :count, :max

    def initialize
      @buckets = Hash.new(0)
      @count = 0
      @max = 0.0
    end

    # A copy counts on for itself.
    def initialize_copy(other)
      super
      @buckets = @buckets.dup
    end

    # Takes in one request of so many seconds.
    def add(seconds)
      @count += 1
      @max = seconds if seconds > @max
      @buckets[seconds <= SMALLEST ? 0 : (Math.log(seconds / SMALLEST) / WIDTH).ceil] += 1
    end

    # The seconds in which that part of the requests was over, e.g. 0.99; 0 when there were none.
    def percentile(part)
      wanted = [(part * @count).ceil, 1].max
      seen = 0
      bucket, = @buckets.sort.find { |_, count| (seen += count) >= wanted }
      bucket ? [SMALLEST * Math.exp(bucket * WIDTH), @max].min : 0.0
    end
  end
end
