# frozen_string_literal: true

# The number that `workers auto` comes to: one worker for each CPU that the process may use, and at least one.

require "etc"
require_relative "cpu_quota"

module Tidegate
  # +count+ is the number of workers, +reason+ a clause that says where it comes from.
  WorkerCount = Data.define(:count, :reason) do
    # What this machine, or the container, has room for. A part of a CPU counts as one, and a quota beyond the CPUs of the
    # affinity mask changes nothing.
    # @param quota [Float, nil] CPUs that the control group lets the process use
    # @param cpus [Integer] CPUs of the affinity mask
    # @return [WorkerCount]
    def self.auto(quota: CPUQuota.cpus, cpus: Etc.nprocessors)
      usable = "the process may run on #{plural(cpus)}"
      return new(count: cpus, reason: "#{usable}, and its control group sets no quota") unless quota

      said = "the control group's quota is #{format("%g", quota.round(2))} of a CPU's time" if quota <= 1
      said ||= "the control group's quota is #{format("%g", quota.round(2))} CPUs"
      new(count: quota.ceil.clamp(1, cpus), reason: "#{said}, and #{usable}")
    end

    def self.plural(cpus) = cpus == 1 ? "1 CPU" : "#{cpus} CPUs"
    private_class_method :plural

    # The line for the log.
    def to_s = "workers auto comes to #{count}: #{reason}"
  end
end
