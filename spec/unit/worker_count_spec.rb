# frozen_string_literal: true

require "support/control_group_files"

RSpec.describe Tidegate::WorkerCount do
  def auto(**) = described_class.auto(cpus: 8, **)

  it "is a quota rounded up, at least one, and no more than the CPUs that the process may use" do
    counts = { 0.2 => 1, 1.0 => 1, 1.5 => 2, 3.0 => 3, 16.0 => 8 }
    expect(counts.keys.map { |quota| auto(quota:).count }).to eq counts.values
    expect(auto(quota: nil).count).to eq 8
  end

  it "says what it found" do
    expect(auto(quota: 1.5).to_s).to eq "workers auto comes to 2: the control group's quota is 1.5 CPUs, and the process may run on 8 CPUs"
    expect(auto(quota: 0.25).to_s).to include "quota is 0.25 of a CPU's time"
    expect(described_class.auto(quota: nil, cpus: 1).to_s)
      .to eq "workers auto comes to 1: the process may run on 1 CPU, and its control group sets no quota"
  end

  describe Tidegate::CPUQuota do
    include ControlGroupFiles

    # The quota in a system of these files.
    def cpus(files) = in_system(files) { |root| described_class.cpus(root:) }

    let(:unified) { { "proc/self/mountinfo" => mount("cgroup2", "/sys/fs/cgroup"), "proc/self/cgroup" => "0::/\n" } }

    it "is none where there is none" do
      expect(cpus({})).to be_nil
      expect(cpus({ **unified, "sys/fs/cgroup/cpu.max" => "max 100000\n" })).to be_nil
      expect(cpus({ **unified, "sys/fs/cgroup/cpu.max" => "garbage" })).to be_nil
    end

    it "is that of a container, version 2" do
      expect(cpus({ **unified, "sys/fs/cgroup/cpu.max" => "150000 100000\n" })).to eq 1.5
    end

    it "is the least among the groups of a service and those above it" do
      files = { **unified, "proc/self/cgroup" => "0::/app.slice/app.service\n", "sys/fs/cgroup/app.slice/cpu.max" => "200000 100000\n",
                           "sys/fs/cgroup/app.slice/app.service/cpu.max" => "300000 100000\n" }
      expect(cpus(files)).to eq 2.0
    end

    it "is that of version 1, beside an empty hierarchy of version 2" do
      files = { "proc/self/mountinfo" => mount("cgroup2", "/sys/fs/cgroup/unified") +
                                         mount("cgroup", "/sys/fs/cgroup/memory", options: "rw,memory") +
                                         mount("cgroup", "/sys/fs/cgroup/cpu,cpuacct", root: "/docker/f00", options: "rw,cpu,cpuacct"),
                "proc/self/cgroup" => "5:memory:/docker/f00\n4:cpu,cpuacct:/docker/f00\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us" => "250000\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us" => "100000\n" }
      expect(cpus(files)).to eq 2.5
      expect(cpus({ **files, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us" => "-1\n" })).to be_nil
    end

    it "is found where the group of the process is not below what is mounted" do
      files = { "proc/self/mountinfo" => mount("cgroup", "/sys/fs/cgroup/cpu", root: "/docker/f00", options: "rw,cpu"),
                "proc/self/cgroup" => "4:cpu:/elsewhere\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us" => "50000", "sys/fs/cgroup/cpu/cpu.cfs_period_us" => "100000" }
      expect(cpus(files)).to eq 0.5
    end
  end
end
