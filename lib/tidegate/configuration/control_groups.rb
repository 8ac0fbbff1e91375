# frozen_string_literal: true

# The control groups of this process, of both versions, as files: its own group and those above it, each of which can set a limit.

module Tidegate
  class ControlGroups
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

    # +root+ is for specs.
    def initialize(root)
      @root = root
    end

    # What the block makes of the directory of each group in the one hierarchy of version 2; nils are left out.
    def second_version(&) = limits("cgroup2", ->(controllers) { controllers.empty? }, nil, &)

    # The same in the hierarchy of version 1 for +controller+.
    def first_version(controller, &) = limits("cgroup", ->(controllers) { controllers.include?(controller) }, controller, &)

    # The text of a file; "" where there is none: not Linux, or not this kind of control group.
    def read(path)
      File.read(path)
    rescue SystemCallError
      ""
    end

    # The same of a file of the system, by its path from the root.
    def inside(name) = read(File.join(@root, name))

    private

    def limits(type, controllers, controller, &)
      path = own_path(controllers) or return []
      mounts(type, controller).flat_map { |mount| mount.directories(path) }.filter_map(&)
    end

    # The group of this process, from a line such as "4:cpu,cpuacct:/docker/f00" or "0::/app.slice".
    def own_path(wanted)
      lines = inside("proc/self/cgroup").lines.map { |line| line.chomp.split(":", 3) }
      lines.find { |_, controllers, path| path && wanted.call(controllers.split(",")) }&.last
    end

    # From lines such as "31 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct".
    def mounts(type, controller)
      inside("proc/self/mountinfo").lines.filter_map do |line|
        where, what = line.chomp.split(" - ", 2).map(&:split)
        next unless what && what.first == type && where.size > 4
        next unless controller.nil? || what.last.split(",").include?(controller)

        Mount.new(point: File.join(@root, where[4]), root: where[3])
      end
    end
  end
end
