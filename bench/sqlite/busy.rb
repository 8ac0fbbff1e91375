# frozen_string_literal: true

# Computing for so many milliseconds of this thread's own CPU time, so that the other server's threads cost it nothing.
module Busy
  module_function

  def for_ms(milliseconds)
    done = now + (milliseconds / 1000.0)
    nil while now < done
  end

  def now = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID)
end
