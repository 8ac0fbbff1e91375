# frozen_string_literal: true

# The stack of a new Ruby thread. From Ruby 3.3 on it comes from malloc, a mebibyte of addresses of which some kilobytes are ever
# used, and the garbage collector counts it in full: it runs for every 16 to 32 threads that are started, and marks the stacks of all
# that there are. Ten thousand threads took 12 s of CPU for that reason, and take 2.4 without it.

module Tidegate
  module ThreadStack
    # Bytes. What grows by less than this was no stack.
    LEAST = 128 * 1024

    # Returns what the block does, which starts a thread. The stack is not counted; anything else is.
    def self.uncounted
      before = counted
      thread = yield
      grown = counted - before
      Native.adjust_memory_usage(-grown) if grown >= LEAST
      thread
    end

    # Bytes that were allocated since the garbage collector last ran. It may have run meanwhile. Other collectors than Ruby's own may
    # not count.
    def self.counted
      GC.stat(:malloc_increase_bytes)
    rescue ArgumentError
      0
    end
    private_class_method :counted
  end
end
