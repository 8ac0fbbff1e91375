# frozen_string_literal: true

# Process 1 of a container. The kernel gives it every orphan, which stays a zombie until process 1 waits for it, and does not
# deliver signals that it does not handle. A server must not wait for "any child", because the app would miss the status of its
# own children. So if the command is process 1, it forks the server, and itself only reaps and passes signals on.

module Tidegate
  module PidOne
    # The signals that are passed on to the server.
    FORWARDED = %w[TERM INT QUIT HUP USR1 USR2 URG TTIN TTOU PWR WINCH].freeze

    # The signals that end the child before it has its own traps. It ends with 0, because it has accepted no connection yet.
    ENDING = %w[TERM INT QUIT HUP].freeze

    SHELLS = %w[sh ash bash dash zsh ksh busybox].freeze

    # The ioctl that makes a process group the foreground of a terminal (TIOCSPGRP, asm-generic/ioctls.h).
    SET_FOREGROUND = 0x5410

    module_function

    # Runs the block, which returns an exit status, in a child if this is process 1; returns the status.
    def run(&)
      Process.pid == 1 ? stand_by(&) : yield
    end

    # The name of the shell that is process 1 and the parent of this process; nil if there is none. A shell does not pass signals
    # on.
    def shell
      return unless Process.ppid == 1

      name = File.read("/proc/1/comm").chomp
      name if SHELLS.include?(name)
    rescue SystemCallError
      nil # no /proc: not a container of this kind
    end

    def stand_by(&)
      child = nil
      early = []
      FORWARDED.each { |name| Signal.trap(name) { child ? pass_on(name, child) : early << name } }
      child = fork { be_the_child(&) }
      early.each { |name| pass_on(name, child) }
      leave(reap(child))
    end

    # The child has a process group of its own, so that it gets a signal which the terminal sends to the group once and not twice.
    def be_the_child
      FORWARDED.each { |name| Signal.trap(name, ENDING.include?(name) ? -> { exit(0) } : "DEFAULT") }
      Process.setpgid(0, 0)
      take_terminal if $stdin.tty?
      exit(yield)
    end

    def take_terminal
      before = Signal.trap("TTOU", "IGNORE")
      $stdin.ioctl(SET_FOREGROUND, [Process.pid].pack("i"))
      Signal.trap("TTOU", before || "DEFAULT")
    end

    # Waits for all children, the server and the orphans, until the server has ended.
    def reap(child)
      loop do
        pid, status = Process.wait2(-1)
        return status if pid == child
      end
    end

    def pass_on(name, child)
      Process.kill(name, child)
    rescue Errno::ESRCH
      nil # the server has just ended
    end

    # Exits without at_exit blocks: all that are registered belong to the child.
    def leave(status)
      [$stdout, $stderr].each(&:flush)
      exit!(status.exitstatus || 128 + status.termsig)
    end

    private_class_method :stand_by, :be_the_child, :take_terminal, :reap, :pass_on, :leave
  end
end
