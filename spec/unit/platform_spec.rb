# frozen_string_literal: true

require "tmpdir"

# A false :plain lets the platform kill requests, a false :container cuts a stop short that nothing limits.
RSpec.describe Tidegate::Platform do
  def platform(files = {}, env: {}, pids: "pid:[4026531836]", init: "systemd")
    Dir.mktmpdir do |root|
      { "proc/1/comm" => "#{init}\n", **files }.each do |name, text|
        FileUtils.mkdir_p(File.dirname(File.join(root, name)))
        File.write(File.join(root, name), text)
      end
      FileUtils.mkdir_p(File.join(root, "proc/self/ns"))
      File.symlink(pids, File.join(root, "proc/self/ns/pid"))
      described_class.of(env, root:)
    end
  end

  def root_on(type, options, more = "")
    line = "600 530 0:120 / / ro,relatime master:1 - #{type} #{type} #{options}\n"
    { "proc/self/mountinfo" => "1 0 8:1 / / rw - rootfs rootfs rw\n#{line}601 600 0:121 / /proc rw - proc proc rw\n#{more}" }
  end

  inner = { pids: "pid:[4026532781]", init: "ruby" }.freeze

  it "is Kubernetes where a pod's variable is" do
    expect(platform({ ".dockerenv" => "" }, env: { "KUBERNETES_SERVICE_HOST" => "10.96.0.1" })).to be(:kubernetes)
  end

  it "is a container where Docker or Podman has left its file, or the engine its variable" do
    expect(platform({ ".dockerenv" => "" })).to be(:container)
    expect(platform({ "run/.containerenv" => "" })).to be(:container)
    expect(platform(env: { "container" => "podman" })).to be(:container)
    expect(platform(env: { "container" => "lxc" })).to be(:plain)
  end

  # `ctr run`, nerdctl and CRI leave no file: the plan said 30 s where the platform gave 10.
  it "is a container where the root file system is of an engine's layers" do
    containerd = "rw,lowerdir=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs,upperdir=/var/lib/containerd/x"
    podman = "rw,lowerdir=/home/u/.local/share/containers/storage/overlay/l/AB,upperdir=/home/u/x"
    expect(platform(root_on("overlay", containerd), **inner)).to be(:container)
    expect(platform(root_on("overlay", containerd))).to be(:container)
    expect(platform(root_on("overlay", podman), **inner)).to be(:container)
  end

  it "is a container where the root is another overlay, and process ids are not the machine's nor those of a system" do
    overlay = root_on("overlay", "rw,lowerdir=/a,upperdir=/b")
    expect(platform(overlay, **inner)).to be(:container)
    expect(platform(overlay, **inner, init: "systemd")).to be(:plain)
    expect(platform(overlay)).to be(:plain), "a live system"
  end

  it "is neither in a namespace on the machine's own root, and where nothing can be read" do
    expect(platform(root_on("ext4", "rw"), **inner)).to be(:plain)
    expect(platform(root_on("overlay", "rw,upperdir=/b", "602 600 8:1 / / rw - ext4 /dev/sda1 rw\n"), **inner)).to be(:plain)
    expect(platform(**inner)).to be(:plain)
    expect(described_class.of({}, root: "/nonexistent")).to be(:plain)
  end
end
