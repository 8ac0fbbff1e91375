# frozen_string_literal: true

# The Unix socket of an admin listener that no source names an address for, in the system's directory for temporary files: its name, and
# what servers of this user that were killed have left there. Beside each such socket is the lock that the native side holds while a
# process has it.

require "etc"

module Tidegate
  module TemporarySocket
    # The names of such sockets' locks, with the process that has made them.
    LOCK = /\Atidegate-(\d+)-\w+\.sock\.lock\z/

    # Seconds for which a lock may be there before it is held.
    YOUNG = 60

    module_function

    # An address for this process; after a restart the one that the image before this one passes on.
    def address(env = ENV)
      passed = env[InheritedSockets::VARIABLE].to_s[%r{unix://[^;=?]*/tidegate-#{Process.pid}-\w+\.sock}]
      passed || "unix://#{File.join(Etc.systmpdir, "tidegate-#{Process.pid}-#{rand(1 << 32).to_s(36)}.sock")}"
    end

    # Whether +address+ is such a one.
    def named_by?(address) = address.to_s.match?(%r{\Aunix://#{Regexp.escape(Etc.systmpdir)}/tidegate-\d+-\w+\.sock(?:\?|\z)})

    # Removes the sockets of this user's processes that have gone, but for the one at the address +own+. Another process of the same number,
    # as in the container before this one, has gone too. What cannot be removed stays.
    def remove_stale(own, directory: Etc.systmpdir)
      Dir.each_child(directory) do |name|
        pid = name[LOCK, 1]&.to_i or next
        lock = File.join(directory, name)
        remove(lock) if !own.to_s.include?(lock.delete_suffix(".lock")) && gone?(pid) && ours?(lock, :file?)
      end
    rescue SystemCallError
      nil
    end

    # Takes the lock as the native side does, so that no living process has the socket, and removes both.
    def remove(lock)
      File.open(lock, File::RDWR | File::NOFOLLOW | File::NONBLOCK) do |file|
        next unless file.size.zero? && Time.now - file.mtime > YOUNG && file.flock(File::LOCK_EX | File::LOCK_NB)
        next unless File.identical?(file, lock)

        socket = lock.delete_suffix(".lock")
        File.unlink(socket) if ours?(socket, :socket?)
        File.unlink(lock)
      end
    rescue SystemCallError
      nil
    end

    def gone?(pid)
      pid == Process.pid || Process.kill(0, pid).nil?
    rescue Errno::ESRCH
      true
    rescue Errno::EPERM, RangeError
      false
    end

    def ours?(path, kind)
      stat = File.lstat(path)
      stat.owned? && stat.public_send(kind)
    rescue SystemCallError
      false
    end

    private_class_method :remove, :gone?, :ours?
  end
end
