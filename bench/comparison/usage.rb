# frozen_string_literal: true

require "etc"

# What a process and its descendants use, read from /proc and the kernel's clocks: CPU and context switches so far, memory
# now and at most.
module Comparison
  class Usage
    TICKS = Etc.sysconf(Etc::SC_CLK_TCK).to_f
    GONE = [Errno::ENOENT, Errno::ESRCH, Errno::EINVAL].freeze

    def initialize(pid)
      @pid = pid
    end

    # User and system time in seconds, of the ended children that were waited for too. The clock of a process is exact;
    # /proc has only hundredths.
    def cpu = each { |pid| Process.clock_gettime(clock(pid)) + (stat(pid).values_at(13, 14).sum(&:to_i) / TICKS) }.sum

    # Times that each thread was taken off the CPU, by its number: because it waited (voluntary), and because another had its turn.
    def switches
      each do |pid|
        Dir["/proc/#{pid}/task/*/status"].filter_map { |path| switches_in(path) }.to_h
      end.reduce({}, :merge)
    end

    # How many more of both kinds `after` than `before`, of the threads that are still there.
    def self.switched(before, after)
      after.reduce([0, 0]) { |sum, (thread, counts)| sum.zip(counts, before.fetch(thread, [0, 0])).map { |all, now, then_| all + now - then_ } }
    end

    # Proportional set size in MiB: memory that several processes share is shared out among them.
    def pss = each { |pid| kilobytes("smaps_rollup", pid, "Pss") }.sum / 1024.0

    # The most resident memory that each process has had, in MiB.
    def peak = each { |pid| kilobytes("status", pid, "VmHWM") }.sum / 1024.0

    # The process and its descendants.
    def tree(pid = @pid)
      children = Dir["/proc/#{pid}/task/*/children"].flat_map { |path| File.read(path).split.map(&:to_i) }
      [pid, *children.flat_map { |child| tree(child) }]
    rescue *GONE
      [pid]
    end

    private

    # A thread may end meanwhile; the others are counted.
    def switches_in(path)
      [path[%r{task/(\d+)}, 1], File.read(path).scan(/ctxt_switches:\s+(\d+)/).flatten.map(&:to_i)]
    rescue *GONE
      nil
    end

    def each
      tree.filter_map do |pid|
        yield pid
      rescue *GONE
        nil
      end
    end

    # The number by which the kernel knows a process's CPU clock (clock_getcpuclockid).
    def clock(pid) = (~pid << 3) | 2

    def kilobytes(file, pid, name) = File.read("/proc/#{pid}/#{file}")[/^#{name}:\s+(\d+)/, 1].to_i

    # The fields after the command's name, which may itself hold spaces: 0 is the state.
    def stat(pid) = File.read("/proc/#{pid}/stat").rpartition(") ").last.split
  end
end
