# frozen_string_literal: true

# How many CPUs the control groups of this process let it use, as the limit of a container sets it (`docker run --cpus`,
# `resources.limits.cpu`). A process without a limit may use all that its affinity mask has.

require_relative "control_groups"

module Tidegate
  class CPUQuota
    # The quota of this process in CPUs, such as 1.5; nil if it has none. +root+ is for specs.
    # @return [Float, nil]
    def self.cpus(root: "/") = new(ControlGroups.new(root)).cpus

    def initialize(groups)
      @groups = groups
    end

    # The least quota among the process's own group and those above it.
    def cpus = [*second_version, *first_version].min

    private

    # A file with quota and period in microseconds, or "max".
    def second_version = @groups.second_version { |directory| ratio(*@groups.read(File.join(directory, "cpu.max")).split.first(2)) }

    # A quota of -1 is no limit.
    def first_version
      @groups.first_version("cpu") do |directory|
        ratio(*%w[cpu.cfs_quota_us cpu.cfs_period_us].map { |name| @groups.read(File.join(directory, name)) })
      end
    end

    def ratio(quota = nil, period = nil)
      quota, period = [quota, period].map { |text| Integer(text.to_s.strip, 10, exception: false) }
      quota.to_f / period if quota&.positive? && period&.positive?
    end
  end
end
