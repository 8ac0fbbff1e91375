# frozen_string_literal: true

# Ruby that computes: the same work for every server of one run. bench/run finds out once how many rounds of it are a
# millisecond of CPU on this machine, and says so in BENCH_SPIN; reading a clock instead would let a slow server do less.
module Spin
  PER_MS = Integer(ENV.fetch("BENCH_SPIN", "20000"))

  module_function

  def for_ms(milliseconds) = rounds(milliseconds * PER_MS)

  def rounds(count)
    sum = 0
    count.times { |number| sum = (sum + number) & 0xffff }
    sum
  end
end
