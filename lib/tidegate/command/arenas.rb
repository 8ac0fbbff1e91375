# frozen_string_literal: true

# glibc gives each thread one of up to eight heaps for each processor, called arenas, and what was freed in one is of no use to
# the others: a pool of threads with large strings holds several times the memory that it uses. Ruby's threads hardly ever
# allocate at the same time, so that two arenas are enough for them and the server's own threads.

module Tidegate
  module Arenas
    COUNT = 2

    # Keeps a process that is all ours to that many, unless its environment has a number of its own. On a C library that
    # has no arenas nothing is changed.
    def self.limit(env)
      Native.limit_arenas(COUNT) unless env.key?("MALLOC_ARENA_MAX") || env["GLIBC_TUNABLES"].to_s.include?("malloc.arena_max")
    end
  end
end
