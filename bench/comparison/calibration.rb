# frozen_string_literal: true

require "open3"
require_relative "../support/interpreter"
require_relative "../workloads/spin"

# How many rounds of bench/workloads/spin.rb are a millisecond of CPU here. Found once for all servers, with the Ruby that they run on, so that
# they all do the same work; the least of several tries, because another program can only make a try longer.
module Comparison
  module Calibration
    TRY = 200_000

    module_function

    # In a process of that Ruby, or in this one.
    def per_ms(ruby = nil)
      return (TRY / Array.new(9) { milliseconds }.min).round if ruby.nil? || ruby.equal?(Rig::Interpreter.default)

      output, status = Open3.capture2(Rig.environment.merge(ruby.env), *ruby.command("-r", __FILE__, "-e", "print Comparison::Calibration.per_ms"), unsetenv_others: true)
      raise Rig::Unavailable, "#{ruby.path} cannot compute" unless status.success?

      Integer(output)
    end

    def milliseconds
      began = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID)
      Spin.rounds(TRY)
      (Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) - began) * 1000
    end
  end
end
