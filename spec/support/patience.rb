# frozen_string_literal: true

# How long a spec waits for something that is sure to come. It is generous, because nothing is measured with it:
# when it is over, the thing that was waited for does not come.

module Patience
  SECONDS = 20 * Integer(ENV.fetch("PATIENCE", "1")) # more where everything is slow: bin/memcheck

  # What was waited for did not come.
  class Over < StandardError
    def initialize(what) = super("waited #{SECONDS} s in vain for #{what}")
  end

  # The end of one wait.
  class Deadline
    def initialize(what)
      @what = what
      @at = Patience.now + SECONDS
    end

    # Seconds that are left; raises when there are none.
    def left
      seconds = @at - Patience.now
      seconds.positive? ? seconds : over
    end

    def over = raise(Over, @what)
  end

  # Seconds between two questions to something that does not tell when it changes, such as a counter.
  PAUSE = 0.005

  module_function

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  # Asks the block until it says yes, and returns what it said.
  def until_true(what)
    deadline = Deadline.new(what)
    loop do
      answer = yield
      return answer if answer

      IO.select(nil, nil, nil, [PAUSE, deadline.left].min)
    end
  end

  # The next thing out of a Queue.
  def pop(queue, what = "something in a queue")
    queue.pop(timeout: SECONDS).tap { |popped| raise Over, what if popped.nil? }
  end

  # Waits for a thread to end, and returns its value.
  def value_of(thread, what = "a thread to end")
    thread.join(SECONDS) or raise Over, what
    thread.value
  end
end
