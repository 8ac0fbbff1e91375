# frozen_string_literal: true

# How many CPUs the control groups of this process let it use, as the limit of a container sets it (`docker run --cpus`,
# `resources.limits.cpu`). A process without a limit may use all that its affinity mask has.

module Tidegate
  class CPUQuota
    # A mounted hierarchy of control groups: where it is mounted, and which of its groups is there.
    Mount = Data.define(:point, :root) do
      # The directories of the group +path+ and of those above it, as far as they can be seen.
      def directories(path)
        below = path.delete_prefix(root.chomp("/"))
        below = "" if below == path && root != "/" # the group is not below what is mounted
        parts = below.split("/").reject { |part| part.empty? || part == ".." }
        (0..parts.size).map { |count| File.join(point, *parts.first(count)) }
      end
    end

    # The quota of this process in CPUs, such as 1.5; nil if it has none. +root+ is for specs.
    # @return [Float, nil]
    def self.cpus(root: "/") = new(root).cpus

    def initialize(root)
      @root = root
    end

    # The least quota among the process's own group and those above it.
    def cpus = [*second_version, *first_version].min

    private

    # Control groups, version 2: one hierarchy, and a file with quota and period in microseconds, or "max".
    def second_version
      quotas("cgroup2", ->(controllers) { controllers.empty? }) do |directory|
        quota, period = read(File.join(directory, "cpu.max")).split
        ratio(quota, period)
      end
    end

    # Version 1: a hierarchy for some controllers, and a quota of -1 for no limit.
    def first_version
      quotas("cgroup", ->(controllers) { controllers.include?("cpu") }) do |directory|
        ratio(*%w[cpu.cfs_quota_us cpu.cfs_period_us].map { |name| read(File.join(directory, name)) })
      end
    end

    def quotas(type, controllers, &)
      path = own_path(controllers) or return []
      mounts(type).flat_map { |mount| mount.directories(path) }.filter_map(&)
    end

    # The group of this process, from a line such as "4:cpu,cpuacct:/docker/f00" or "0::/app.slice".
    def own_path(wanted)
      lines = inside("proc/self/cgroup").lines.map { |line| line.chomp.split(":", 3) }
      lines.find { |_, controllers, path| path && wanted.call(controllers.split(",")) }&.last
    end

    # From lines such as "31 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct".
    def mounts(type)
      inside("proc/self/mountinfo").lines.filter_map do |line|
        where, what = line.chomp.split(" - ", 2).map(&:split)
        next unless what && what.first == type && where.size > 4
        next unless type == "cgroup2" || what.last.split(",").include?("cpu")

        Mount.new(point: File.join(@root, where[4]), root: where[3])
      end
    end

    def ratio(quota, period)
      quota, period = [quota, period].map { |text| Integer(text.to_s.strip, 10, exception: false) }
      quota.to_f / period if quota&.positive? && period&.positive?
    end

    def inside(name) = read(File.join(@root, name))

    def read(path)
      File.read(path)
    rescue SystemCallError
      "" # not Linux, or not this kind of control group
    end
  end
end
