# frozen_string_literal: true

# What the pool's threads leave behind after a rush. Ruby keeps about 15 KB of each until the garbage collector runs, and a server with
# nothing to do allocates nothing that would have it run: of ten thousand threads that were gone, 200 MB stayed for good.

module Tidegate
  class RetiredThreads
    # So many that what they leave is worth a run of the collector, which takes some tens of milliseconds and more in a large app.
    WORTH = 200

    # The threads retire one by one within seconds: most of them have to be gone, or the collector would run many times.
    LEFT = 0.25

    # The block tells whether a run of the collector would hold something up: a request in flight, or the end of the server.
    def initialize(&busy)
      @busy = busy
      @lock = Mutex.new
      @count = 0
    end

    # A thread of the pool is about to end, and +left+ others are there. Gives back what those before it have left, where it is worth it.
    def add(left)
      return unless due?(left)

      GC.start
      Native.trim_memory
    end

    private

    def due?(left)
      @lock.synchronize do
        @count += 1
        next false if @count < WORTH || left > @count * LEFT || @busy.call

        @count = 0
        true
      end
    end
  end
end
