# frozen_string_literal: true

# The Ruby threads that run the app. The native side hands them requests and says when it could use one more; this
# file starts them, and puts another in the place of one that has ended, as in that of the thread that starts them.

module Tidegate
  class WorkerPool
    # A worker that lived this long was no failure of its place: the next one starts without a pause.
    SETTLED = 1.0

    # The pause before the next worker in a place where workers die young, doubling from the first to the second.
    PAUSES = (0.1..5.0)

    # How long to let a demand rest that cannot be met now.
    UNMET = 0.5

    # +native+ is the Native::Server; +min+ workers are started at once, +max+ is never exceeded. +hooks+ are the Hooks
    # that each worker runs first and those that it runs last; +delivery+ sees requests to their end.
    def initialize(native, min:, max:, log:, hooks: [], delivery: Delivery.new(log))
      @native = native
      @min = min
      @max = max
      @log = log
      @first, @last = hooks
      @delivery = delivery
      @lock = Mutex.new
      @workers = {}
      @stopped = Queue.new # nothing is ever in it; it is closed when the server has stopped
    end

    # Starts the first workers, and the thread that starts the others.
    def start
      @min.times { spawn }
      @supervisor = KeptThread.new("tidegate pool", @log) { supervise }.start
      self
    end

    # How many workers there are.
    def size = workers.count(&:alive?)

    # Waits for the workers of a server that has stopped. Those that take longer than +seconds+ are killed, and the
    # result is false: they are stuck in the app.
    def finish(seconds)
      deadline = now + seconds
      return true if threads.all? { |thread| thread.join([deadline - now, 0].max) }

      kill
      false
    end

    # Ends the workers, whatever they are doing.
    def kill
      @closed = true
      @stopped.close
      threads.each(&:kill)
    end

    private

    def threads = [*@supervisor, *workers]

    def workers = @lock.synchronize { @workers.values }

    # What was promised by one that was killed may never come.
    def supervise
      @native.forget_promises
      while @native.demand == :spawn
        spawn or postpone
      end
      @stopped.close
      workers.each(&:join)
    end

    # All places are taken, or the system has no thread left: the native side asks again, while it has need.
    def postpone
      @native.decline
      @stopped.pop(timeout: UNMET)
    end

    # Starts a worker in a free place, or in +place+, which its last holder is just leaving. False when there is none.
    def spawn(place = nil, failures = 0)
      @lock.synchronize do
        # One that was killed before it could begin has not left.
        place ||= (1..@max).find { |number| !@workers[number]&.alive? }
        return false if place.nil? || @closed

        @workers[place] = thread("tidegate worker #{place}") { work(place, failures) }
        true
      end
    rescue ThreadError => error
      leave(place)
      @log.error("no thread can be started for another worker: #{error.message}")
      false
    end

    # The life of one worker. Native#work comes back only when the server has stopped, or has too little work for so many;
    # any other way out - Thread#kill,
    # Thread#raise, an exception that no request can be blamed for - leaves a place to be filled. It is filled from
    # here, by the thread that ends, so that nobody has to wait or poll for it.
    def work(place, failures)
      # Known even where the thread that has started this one was killed before it could say so.
      @lock.synchronize { @workers[place] = Thread.current }
      @stopped.pop(timeout: pause(failures)) if failures.positive?
      began = now
      @first&.run
      @native.work
      @last&.run
      over = true
    rescue Exception => error # rubocop:disable Lint/RescueException -- this is the bottom of the thread
      over = false
    ensure
      begin
        finish_requests
      ensure # a callback may want to end the process, or be interrupted: the place is filled all the same
        over ? leave(place) : replace(place, error, failed?(error, began) ? failures + 1 : 0)
      end
    end

    # A request whose thread was ended inside the app is over as well: whoever waits for its end is told so. They may be
    # another thread's; that makes no difference.
    def finish_requests
      while (exchange = @native.next_unfinished)
        @delivery.ended(exchange)
      end
    end

    # Whether a worker that has ended could not do its work. One that was killed was ended by somebody else.
    def failed?(error, began) = error && !(began && now - began >= SETTLED)

    # When the process ends without stopping the server, Ruby kills all threads; then there is nothing to replace, and
    # a new thread would keep the process alive.
    def replace(place, error, failures)
      return leave(place) if @closed || !Thread.main.alive?

      spawn(place, failures) or return
      cause = error ? "was ended by #{ErrorReport.new(error).summary}" : "was killed"
      @log.error("worker #{place} #{cause}; another takes its place")
    end

    def leave(place)
      @lock.synchronize { @workers.delete(place) }
    end

    def pause(failures) = [PAUSES.begin * (2**(failures - 1)), PAUSES.end].min

    def thread(name)
      Thread.new do
        Thread.current.name = name
        yield
      end
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
