# frozen_string_literal: true

# Whether the system has room for another thread. Only Ruby 3.3 has to be told: once it could not start one (ulimit -u, a container's
# pids.max), all its threads wait for ever. Ruby 3.2, and 3.4 and later, raise a ThreadError and go on.

module Tidegate
  class ThreadRoom
    NEEDED = RUBY_VERSION.start_with?("3.3.")

    # So many threads are tried at once; where that succeeds, the next ones need not be. Those that are tried count for some microseconds
    # after their end, and the app may start some as well: that much is left over.
    MANY = 16
    LEFT_OVER = 4

    # Where there is no room for many.
    FEW = 3
    private_constant :MANY, :LEFT_OVER, :FEW

    # Whether a process can be forked, which counts as a thread does. Ruby waits without end where it cannot, and its traps do not run.
    # @raise [Errno::EAGAIN]
    def self.for_fork!
      raise Errno::EAGAIN, "fork (ulimit -u, pids.max)" unless Native.threads_start?(FEW)
    end

    def initialize(needed: NEEDED)
      @needed = needed
      @known = 0
    end

    # Whether a thread can be started now, which the caller then does. Not for several threads at a time.
    def take?
      return true unless @needed
      return (@known -= 1) && true if @known.positive?
      return Native.threads_start?(FEW) unless Native.threads_start?(MANY)

      @known = MANY - LEFT_OVER - 1
      true
    end
  end
end
