# frozen_string_literal: true

# When a pod is ready, from the answers to its probe: one good answer makes it so, `failure_threshold` bad ones in a row
# end that. Pure.
module Rollout
  class Readiness
    def initialize(failure_threshold:)
      @failure_threshold = failure_threshold
      @bad = 0
      @ready = false
    end

    def ready? = @ready

    # Whether that answer changes anything.
    def record(good)
      before = @ready
      @bad = good ? 0 : @bad + 1
      @ready = good || (@ready && @bad < @failure_threshold)
      before != @ready
    end
  end

  # The timetable of one pod's end, in the kubelet's way: the grace counts from the deletion, the preStop hook eats from
  # it, and after the hook at least two seconds are left.
  Termination = Struct.new(:deleted_at, :grace, :prestop, keyword_init: true) do
    def term_at = deleted_at + [prestop, grace].min
    def kill_at = [deleted_at + grace, term_at + 2].max

    # What is wrong with an end at that time, in words; nil if nothing is. `expected` are the outcomes that are right.
    def violation(outcome, ended_at:, killed:, expected:)
      seconds = ended_at - deleted_at
      if seconds.negative? then "ended before it was told to: #{outcome}"
      elsif killed then "killed at the end of its grace"
      elsif seconds > grace - 1 then format("took %.1f s of a grace of %g s", seconds, grace)
      elsif !expected.include?(outcome) then "#{outcome} instead of #{expected.join(' or ')}"
      end
    end
  end
end
