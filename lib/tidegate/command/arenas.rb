# frozen_string_literal: true

# glibc has up to eight heaps for each processor, called arenas, and gives each thread one of them. Memory that was freed in one
# arena cannot be used in another: a pool of threads with large strings holds several times the memory that it uses. Ruby threads
# hardly ever allocate at the same time, so that two arenas are enough for them and the server's native threads.

module Tidegate
  module Arenas
    COUNT = 2

    # Limits the arenas of a process that runs only the server, unless its environment sets another number. A C library without
    # arenas ignores it.
    def self.limit(env)
      Native.limit_arenas(COUNT) unless env.key?("MALLOC_ARENA_MAX") || env["GLIBC_TUNABLES"].to_s.include?("malloc.arena_max")
    end
  end
end
