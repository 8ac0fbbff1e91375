# frozen_string_literal: true

require "support/control_group_files"

RSpec.describe Tidegate::BufferLimit do
  mega = 1024 * 1024

  it "is an eighth of the memory for all processes together, at most 64 MB for each, and at least 4" do
    expect(described_class.auto(1, memory: 16 * 1024 * mega)).to eq(64 * mega)
    expect(described_class.auto(1, memory: 512 * mega)).to eq(64 * mega)
    expect(described_class.auto(1, memory: 256 * mega)).to eq(32 * mega)
    expect(described_class.auto(4, memory: 512 * mega)).to eq(16 * mega)
    expect(described_class.auto(3, memory: 512 * mega)).to eq(21 * mega)
    expect(described_class.auto(16, memory: 256 * mega)).to eq(4 * mega)
    expect(described_class.auto(1, memory: nil)).to eq(64 * mega)
  end

  describe "in a configuration" do
    def resolve(**flags)
      layer = Tidegate::Configuration::Layer.new
      flags.each { |name, value| layer.set_named(name, value, "a flag") }
      Tidegate::Configuration.resolve(flags: layer)
    end

    before { allow(Tidegate::MemoryQuota).to receive(:bytes).and_return(512 * mega) }

    it "counts for each worker" do
      expect(resolve(config: "-")).to have_attributes(buffer_limit: 64 * mega, body_memory_limit: nil)
      expect(resolve(config: "-", workers: 4)).to have_attributes(buffer_limit: 16 * mega)
      expect(resolve(config: "-", workers: 4, buffer_limit: "32M")).to have_attributes(buffer_limit: 32 * mega)
      expect(resolve(config: "-", workers: 4, buffer_limit: "auto")).to have_attributes(buffer_limit: 16 * mega)
    end

    # Uploads would have all the memory there is.
    it "that is none leaves each body a limit of its own" do
      expect(resolve(config: "-", buffer_limit: "none")).to have_attributes(buffer_limit: nil, body_memory_limit: 112 * 1024)
      expect(resolve(config: "-", buffer_limit: "none", body_memory_limit: "none")).to have_attributes(buffer_limit: nil, body_memory_limit: nil)
      expect(resolve(config: "-", body_memory_limit: "1K")).to have_attributes(buffer_limit: 64 * mega, body_memory_limit: 1024)
    end
  end

  describe Tidegate::MemoryQuota do
    include ControlGroupFiles

    # The quota in a system of these files.
    def bytes(files) = in_system(files) { |root| described_class.bytes(root:) }

    let(:machine) { { "proc/meminfo" => "MemTotal:        4194304 kB\nMemFree: 1 kB\n" } }
    let(:unified) { { **machine, "proc/self/mountinfo" => mount("cgroup2", "/sys/fs/cgroup"), "proc/self/cgroup" => "0::/a/b\n" } }

    it "is not known where the system does not say, and the machine's without a limit" do
      expect(bytes({})).to be_nil
      expect(bytes(machine)).to eq(4096 * mega)
      expect(bytes({ **unified, "sys/fs/cgroup/a/b/memory.max" => "max\n" })).to eq(4096 * mega)
      expect(bytes({ **unified, "sys/fs/cgroup/a/b/memory.max" => "garbage" })).to eq(4096 * mega)
    end

    it "is the least of what a container and the groups above it may have" do
      files = { **unified, "sys/fs/cgroup/a/b/memory.max" => "#{512 * mega}\n", "sys/fs/cgroup/a/memory.max" => "#{600 * mega}\n" }
      expect(bytes(files)).to eq(512 * mega)
      expect(bytes({ **files, "sys/fs/cgroup/a/memory.max" => "1000000\n" })).to eq(1_000_000)
      expect(bytes({ **files, "sys/fs/cgroup/a/b/memory.max" => "#{9000 * mega}\n", "sys/fs/cgroup/a/memory.max" => "max\n" })).to eq(4096 * mega)
    end

    it "is that of version 1, where a number beyond all memory is no limit" do
      files = { **machine, "proc/self/mountinfo" => mount("cgroup", "/sys/fs/cgroup/memory", options: "rw,memory"),
                           "proc/self/cgroup" => "5:memory:/docker/f00\n4:cpu:/docker/f00\n",
                           "sys/fs/cgroup/memory/docker/f00/memory.limit_in_bytes" => "268435456\n",
                           "sys/fs/cgroup/memory/memory.limit_in_bytes" => "9223372036854771712\n" }
      expect(bytes(files)).to eq(256 * mega)
      expect(bytes({ **files, "sys/fs/cgroup/memory/docker/f00/memory.limit_in_bytes" => "9223372036854771712\n" })).to eq(4096 * mega)
    end
  end
end
