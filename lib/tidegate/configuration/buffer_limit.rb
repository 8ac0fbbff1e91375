# frozen_string_literal: true

# The bytes that `buffer_limit auto` comes to. All the memory of a process is the app's to use; an eighth of it is what bodies may
# take that are on their way, of all worker processes together.

require_relative "memory_quota"

module Tidegate
  module BufferLimit
    MEGABYTE = 1024 * 1024
    MOST = 64 * MEGABYTE
    LEAST = 4 * MEGABYTE
    SHARE = 8

    # For each of so many processes.
    # @param memory [Integer, nil] bytes that all of them may use; nil: not known
    # @return [Integer]
    def self.auto(processes, memory: MemoryQuota.bytes)
      return MOST unless memory

      (memory / SHARE / processes).clamp(LEAST, MOST) / MEGABYTE * MEGABYTE
    end
  end
end
