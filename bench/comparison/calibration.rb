# frozen_string_literal: true

require_relative "../workloads/spin"

# How many rounds of bench/workloads/spin.rb are a millisecond of CPU here. Found once for all servers, so that they all do
# the same work; the least of several tries, because another program can only make a try longer.
module Comparison
  module Calibration
    TRY = 200_000

    module_function

    def per_ms = (TRY / Array.new(9) { milliseconds }.min).round

    def milliseconds
      began = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID)
      Spin.rounds(TRY)
      (Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) - began) * 1000
    end
  end
end
