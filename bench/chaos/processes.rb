# frozen_string_literal: true

# What the kernel knows of processes: their children, descriptors, shared memory and connections. All from /proc.

module Chaos
  module Processes
    TCP_LISTEN = "0A"
    TCP_TIME_WAIT = "06"

    module_function

    def children(pid) = File.read("/proc/#{pid}/task/#{pid}/children").split.map { |child| Integer(child) }

    def title(pid)
      File.read("/proc/#{pid}/cmdline").delete("\0")
    rescue SystemCallError
      ""
    end

    # Whether there is such a process, and it is no zombie.
    def alive?(pid) = !%w[Z X].include?(state(pid))

    # The letter that the kernel has for a process's state.
    def state(pid)
      File.read("/proc/#{pid}/stat")[/.*\) (\w)/, 1]
    rescue SystemCallError
      "X"
    end

    # The pids of a process group that are alive.
    def group(id)
      Dir.children("/proc").grep(/\A\d+\z/).map(&:to_i).select do |pid|
        File.read("/proc/#{pid}/stat")[/.*\) \w \d+ (\d+)/, 1].to_i == id && alive?(pid)
      rescue SystemCallError
        false
      end
    end

    # What the descriptors of a process are for, without what differs from one to the next, and how many there are of each.
    def descriptors(pid)
      links(pid).map { |link| link.sub(/\[?\d+\]?\z/, "").sub(/ \(deleted\)\z/, "") }.tally
    end

    # How many mappings a process shares with others, and their bytes.
    def shared_memory(pid)
      sizes = File.readlines("/proc/#{pid}/maps").filter_map do |line|
        from, to, flags = line.match(/\A(\h+)-(\h+) (\S+)/).captures
        to.hex - from.hex if flags.end_with?("s")
      end
      { mappings: sizes.size, bytes: sizes.sum }
    end

    # What there is of shared memory with a name, on the whole machine.
    def named_memory = Dir.children("/dev/shm").size + File.readlines("/proc/sysvipc/shm").size - 1

    # The clients' ports of the connections that a process has.
    def client_ports(pid, port)
      mine = links(pid).filter_map { |link| link[/\Asocket:\[(\d+)\]/, 1] }
      connections(pid, port).filter_map { |inode, client| client if mine.include?(inode) }
    end

    # How many connections there are to a port that a process of this network has.
    def connection_count(pid, port) = connections(pid, port).count { |inode, _| inode != "0" }

    def links(pid)
      Dir.children("/proc/#{pid}/fd").filter_map do |number|
        File.readlink("/proc/#{pid}/fd/#{number}")
      rescue SystemCallError
        nil # closed meanwhile
      end
    rescue SystemCallError
      []
    end

    # [inode, the client's port] of each.
    def connections(pid, port)
      File.readlines("/proc/#{pid}/net/tcp").drop(1).filter_map do |line|
        _, local, remote, state, *, inode = line.split.first(10)
        [inode, remote.split(":").last.hex] if local.end_with?(format(":%04X", port)) && ![TCP_LISTEN, TCP_TIME_WAIT].include?(state)
      end
    rescue SystemCallError
      []
    end
  end
end
