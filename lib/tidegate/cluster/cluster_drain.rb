# frozen_string_literal: true

# The drain of a whole cluster: when it has begun, and when workers that are still there are killed. What a worker does meanwhile is its
# server's business, by the same plan.

module Tidegate
  class ClusterDrain
    # Seconds beyond the plan's budget after which the master kills. The plan keeps 2 s back from the platform's time, and a worker that
    # Ruby does not end, because an at_exit block does not return, takes one of them to end itself.
    BEYOND_BUDGET = 1.5

    # Without a budget: seconds beyond the plan, in which a worker may still run what the app has registered for the exit.
    BEYOND_PLAN = 32.0

    # +plan+ is that of the servers.
    def initialize(plan)
      budget, delay, timeout = plan.values_at(:budget, :drain_delay, :shutdown_timeout)
      @began = now
      @over = @began + (budget ? budget + BEYOND_BUDGET : delay + timeout + BEYOND_PLAN)
    end

    # Whether the time is over.
    def over? = now >= @over

    # Seconds that are left, and one at least.
    def left = [@over - now, 1.0].max

    # Seconds since it has begun.
    def age = now - @began

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
