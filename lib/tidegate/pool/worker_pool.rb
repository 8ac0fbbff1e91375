# frozen_string_literal: true

# The Ruby threads that run the app, called workers. The native side hands them requests and says when it wants one more. This
# file starts them, and replaces a worker that has ended, or the thread that starts them.

module Tidegate
  class WorkerPool
    # Seconds. If a worker has lived for this long, the next one in its place starts without a pause.
    SETTLED = 1.0

    # Seconds before the next worker in a place where workers die sooner. They double from the first number to the second.
    PAUSES = (0.1..5.0)

    # Seconds to wait when the native side wants a worker and none can be started.
    UNMET = 0.5

    # +native+ is the Native::Server. +min+ workers are started at once, and there are never more than +max+. +hooks+ are the Hooks
    # that each worker runs first and those that it runs last. +delivery+ ends a request that a worker did not.
    def initialize(native, min:, max:, log:, hooks: [], delivery: Delivery.new(log))
      @native = native
      @min = min
      @max = max
      @log = log
      @first, @last = hooks
      @delivery = delivery
      @lock = Mutex.new
      @workers = {}
      @room = ThreadRoom.new
      @places = Places.new(max) { |place| @workers[place]&.alive? }
      # At its end a server has a second for its threads, and none for the collector.
      @retired = RetiredThreads.new { native.phase != :ready || native.stats.fetch(:in_flight, 0).positive? }
      @stopped = Queue.new # always empty; it is closed when the server has stopped
    end

    # Starts the first workers, and the supervisor, which is the thread that starts the others.
    def start
      @min.times { spawn }
      @supervisor = KeptThread.new("tidegate pool", @log) { supervise }.start
      self
    end

    # How many workers there are.
    def size = workers.count(&:alive?)

    # Waits for the workers of a server that has stopped. Workers that take longer than +seconds+ are stuck in the app: they are
    # killed, and the result is false.
    def finish(seconds)
      deadline = now + seconds
      return true if threads.all? { |thread| thread.join([deadline - now, 0].max) }

      kill
      false
    end

    # Kills the workers, whatever they are doing.
    def kill
      @closed = true
      @stopped.close
      threads.each(&:kill)
    end

    private

    def threads = [*@supervisor, *workers]

    def workers = @lock.synchronize { @workers.values }

    # If this is not the first supervisor, the one before was killed, and the workers that it was to start may never come.
    def supervise
      @native.forget_requested
      while @native.demand == :spawn
        spawn or postpone
      end
      @stopped.close
      workers.each(&:join)
    end

    # All places are taken, or the system has no thread left. The native side asks again, while it wants a worker.
    def postpone
      @native.decline
      @stopped.pop(timeout: UNMET)
    end

    # Starts a worker in a free place, or in +place+, which the worker before it is just leaving. False if there is no place.
    def spawn(place = nil, failures = 0)
      @lock.synchronize do
        return false if @closed

        place ||= @places.take or return false
        raise ThreadError, "the system has no room for it (ulimit -u, pids.max)" unless @room.take?

        @workers[place] = thread("tidegate worker #{place}") { work(place, failures) }
        @crowded = false
        true
      end
    rescue ThreadError => error
      crowded(place, error)
      false
    end

    # No thread could be started. It is tried again for as long as one is wanted, and said once.
    def crowded(place, error)
      told = @lock.synchronize do
        @workers.delete(place)
        @places.give_back(place)
        @crowded.tap { @crowded = true }
      end
      @log.error("no thread can be started for another worker: #{error.message}; there are #{size}") unless told
    end

    # The life of one worker. Native::Server#work returns only when the server has stopped, or has too little work for so many
    # workers. If the worker ends in another way (Thread#kill, Thread#raise, an exception that comes from no request), the thread
    # that ends starts the next worker in its place itself, so that no other thread has to wait or poll for that.
    def work(place, failures)
      # The worker enters itself, in case the thread that has started it was killed before it could.
      @lock.synchronize { @workers[place] = Thread.current }
      @stopped.pop(timeout: pause(failures)) if failures.positive?
      began = now
      @first&.run
      Interrupter.mask { @native.work }
      @last&.run
      over = true
    rescue Exception => error # rubocop:disable Lint/RescueException -- this is the bottom of the thread
      over = false
    ensure
      begin
        finish_requests
      ensure # the place is filled also when a callback exits the process or is interrupted
        over ? leave(place) : replace(place, error, failed?(error, began) ? failures + 1 : 0)
      end
    end

    # Ends the requests that ran on a thread which was ended inside the app: their callbacks run here. The thread may be another
    # one than this, which makes no difference.
    def finish_requests
      while (exchange = @native.next_unfinished)
        @delivery.ended(exchange)
      end
    end

    # Whether a worker has ended because it could not do its work. A worker that was killed has no error.
    def failed?(error, began) = error && !(began && now - began >= SETTLED)

    # When the process ends without stopping the server, Ruby kills all threads. Then no worker is replaced, because a new thread
    # would keep the process alive.
    def replace(place, error, failures)
      return leave(place) if @closed || !Thread.main.alive?

      spawn(place, failures) or return
      cause = error ? "was ended by #{ErrorReport.new(error).summary}" : "was killed"
      @log.error("worker #{place} #{cause}; another takes its place")
    end

    def leave(place)
      left = @lock.synchronize do
        @places.give_back(place) if @workers.delete(place)
        @workers.size
      end
      @retired.add(left) unless @stopped.closed?
    end

    def pause(failures) = [PAUSES.begin * (2**(failures - 1)), PAUSES.end].min

    def thread(name)
      ThreadStack.uncounted do
        Thread.new do
          Thread.current.name = name
          yield
        end
      end
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
