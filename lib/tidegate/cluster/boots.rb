# frozen_string_literal: true

# How the last boots of workers went: after one that failed the next waits, ever longer, and after several in a row there is no hope.

module Tidegate
  class Boots
    # Seconds before the next boot. They double with each failure, from the first number to the second.
    PAUSES = (0.1..5.0)

    # +most+ failures in a row are too many.
    def initialize(most)
      @most = most
      @failures = 0
      @not_before = 0
    end

    def failed
      @failures += 1
      @not_before = now + [PAUSES.begin * (2**(@failures - 1)), PAUSES.end].min
    end

    def succeeded
      @failures = 0
      @not_before = 0
    end

    # Whether the next boot may begin.
    def due? = now >= @not_before

    # Whether a pause is under way.
    def waiting? = !due?

    def hopeless? = @failures >= @most

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
