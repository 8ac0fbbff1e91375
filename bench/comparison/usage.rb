# frozen_string_literal: true

require "etc"

# What a process and its descendants use, read from /proc: CPU seconds so far, memory now.
module Comparison
  class Usage
    TICKS = Etc.sysconf(Etc::SC_CLK_TCK).to_f

    def initialize(pid)
      @pid = pid
    end

    # User and system time in seconds, of the ended children that were waited for too.
    def cpu
      tree.sum { |pid| stat(pid).values_at(11, 12, 13, 14).sum(&:to_i) } / TICKS
    end

    # Resident and proportional set size in MiB.
    def memory
      rollups = tree.map { |pid| File.read("/proc/#{pid}/smaps_rollup") }
      %w[Rss Pss].map { |name| rollups.sum { |text| text[/^#{name}:\s+(\d+)/, 1].to_i } / 1024.0 }
    end

    private

    def tree(pid = @pid)
      children = Dir["/proc/#{pid}/task/*/children"].flat_map { |path| File.read(path).split.map(&:to_i) }
      [pid, *children.flat_map { |child| tree(child) }]
    end

    # The fields after the command's name, which may itself hold spaces: 0 is the state.
    def stat(pid) = File.read("/proc/#{pid}/stat").rpartition(") ").last.split
  end
end
