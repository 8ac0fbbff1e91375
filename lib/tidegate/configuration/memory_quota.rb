# frozen_string_literal: true

# How much memory this process may use: what the control groups let it, as the limit of a container sets it (`docker run
# --memory`, `resources.limits.memory`), or what the machine has.

require_relative "control_groups"

module Tidegate
  class MemoryQuota
    # More than any machine has: version 1 says "no limit" with such a number.
    NO_LIMIT = 1 << 60
    private_constant :NO_LIMIT

    # In bytes; nil where the system does not say. +root+ is for specs.
    # @return [Integer, nil]
    def self.bytes(root: "/") = new(ControlGroups.new(root)).bytes

    def initialize(groups)
      @groups = groups
    end

    # The least among the machine's memory, the limit of the process's own group and of those above it.
    def bytes = [*machine, *second_version, *first_version].min

    private

    def machine
      kibibytes = @groups.inside("proc/meminfo")[/^MemTotal: +(\d+) kB$/, 1]
      kibibytes && (kibibytes.to_i * 1024)
    end

    def second_version = @groups.second_version { |directory| number(File.join(directory, "memory.max")) }

    def first_version = @groups.first_version("memory") { |directory| number(File.join(directory, "memory.limit_in_bytes")) }

    def number(path)
      bytes = Integer(@groups.read(path).strip, 10, exception: false)
      bytes if bytes&.between?(1, NO_LIMIT)
    end
  end
end
