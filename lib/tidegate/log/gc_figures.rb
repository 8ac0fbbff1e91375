# frozen_string_literal: true

# What the garbage collector of this process has done, for /metrics: told to the native side once a second, which answers also when
# Ruby is busy.

module Tidegate
  class GCFigures
    # Seconds between two looks.
    PAUSE = 1.0

    # What GC.stat calls the figures, in the order of Native::Server#publish_gc.
    KEYS = %i[count major_gc_count heap_live_slots heap_allocated_pages malloc_increase_bytes].freeze

    # +native+ is a Native::Server that listens.
    def initialize(native, log)
      @native = native
      @log = log
      @stat = {}
    end

    def start
      @thread = KeptThread.new("tidegate gc", @log) { loop { tell && sleep(PAUSE) } }.start
      self
    end

    def finish = @thread.kill

    private

    # Always true.
    def tell
      GC.stat(@stat)
      @native.publish_gc(GC.total_time, *@stat.values_at(*KEYS))
      true
    end
  end
end
