# frozen_string_literal: true

# A thread of ours that is there for as long as its work: code of the app that ends "all other threads" ends it too, and
# another takes its place then.

module Tidegate
  class KeptThread
    # Seconds before the next one where an exception has ended the work.
    PAUSE = 0.5

    # Seconds for a new thread to show that it has begun. One that is killed before that never runs.
    BEGIN_WITHIN = 1.0

    # Its +name+, and what it does: the block is called again after any end but its own. +log+ is told of those; nil for none.
    def initialize(name, log, &work)
      @name = name
      @log = log
      @work = work
      @stopped = false
    end

    def start
      @thread = spawn
      self
    end

    # Waits for the work to be done, for up to +limit+ seconds; nil when it is not.
    def join(limit = nil)
      deadline = limit && (now + limit)
      loop do
        thread = @thread
        thread.join(deadline && [deadline - now, 0].max) or return
        return self if thread.equal?(@thread)
      end
    end

    # Ends it for good.
    def kill
      @stopped = true
      @thread&.kill
    end

    def alive? = @thread&.alive? == true

    private

    def spawn(pause = nil)
      loop do
        begun = Queue.new
        thread = Thread.new { (begun << true) && run(pause) }
        return thread if begun.pop(timeout: BEGIN_WITHIN) || thread.alive?
      end
    end

    def run(pause)
      Thread.current.name = @name
      sleep(pause) if pause
      @work.call
      over = true
    rescue Exception => error # rubocop:disable Lint/RescueException -- this is the bottom of the thread
      over = false
    ensure
      replace(error) unless over
    end

    # When the process ends, Ruby kills all threads; a new one would keep it alive.
    def replace(error)
      return if @stopped || !Thread.main.alive?

      cause = error ? "was ended by #{error.class}: #{error.message}" : "was killed"
      @thread = spawn(error && PAUSE)
      @log&.error("the thread #{@name} #{cause}; another takes its place")
    rescue ThreadError => error
      @log&.error("no thread can be started in the place of #{@name}: #{error.message}")
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
