# frozen_string_literal: true

# A thread of the server that lives as long as its work. An app that kills "all other threads" kills it too, and then another
# thread takes its place.

module Tidegate
  class KeptThread
    # Seconds before the next thread begins, if an exception has ended the work.
    PAUSE = 0.5

    # Seconds for a new thread to show that it has begun. A thread that is killed before that never runs.
    BEGIN_WITHIN = 1.0

    # The block is the work, and is called again unless it has returned: after an exception, and when the thread was killed. That is
    # logged to +log+, unless it is nil. +name+ is the name of the thread.
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

    # Waits until the work is done, for up to +limit+ seconds; nil when it is not done by then.
    def join(limit = nil)
      deadline = limit && (now + limit)
      loop do
        thread = @thread
        thread.join(deadline && [deadline - now, 0].max) or return
        return self if thread.equal?(@thread)
      end
    end

    # Ends the thread for good.
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

    # When the process ends, Ruby kills all threads; a new thread would keep the process alive.
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
