# frozen_string_literal: true

# Steers a server by signals, where it has no admin listener. It looks first whether the process is there, is a server, and handles
# the signal: a signal that is not handled would end or stop the process.

module Tidegate
  module Control
    class Signaller
      # Signals that a server may be sent whatever it handles, because they are to end it.
      ENDING = %w[TERM INT].freeze

      # Seconds between the signals of a halt, and how many follow the first. Only the second one cuts what is in flight, and two
      # that come at the same time count as one. More would end a process that is about to exit, and whose exit status is then another.
      HALT_PAUSE = 0.1
      HALT_MORE = 2

      # How many such pauses the process may take to end.
      HALT_MOST = 50

      def initialize(target, proc: "/proc")
        @pid = target.pid
        @source = target.source
        @proc = proc
      end

      # Raises a Failure unless the process is there. A process that has another program by now is not the server.
      def check
        Process.kill(0, @pid)
        raise Failure, "process #{@pid} is no Tidegate server: #{@source} is stale" unless server?
      rescue Errno::ESRCH
        raise Failure, @source ? "process #{@pid} does not run: #{@source} is stale" : "process #{@pid} does not run"
      rescue Errno::EPERM
        raise Failure, "process #{@pid} belongs to another user"
      end

      # Sends the signal of that name.
      def send(name)
        check
        unless ENDING.include?(name) || handled?(name)
          raise Failure, "process #{@pid} does not handle SIG#{name} now, which would end or stop it: nothing was sent"
        end
        Process.kill(name, @pid)
      rescue Errno::ESRCH
        raise Failure, "process #{@pid} has just ended"
      end

      # Ends the process at once.
      def halt
        send("INT")
        HALT_MOST.times do |count|
          sleep(HALT_PAUSE)
          Process.kill(count < HALT_MORE ? "INT" : 0, @pid)
        end
        raise Failure, "process #{@pid} still runs: its threads may be stuck"
      rescue Errno::ESRCH
        nil
      end

      private

      # A pid that was typed is taken at its word.
      def server?
        return true unless @source

        command = File.binread("#{@proc}/#{@pid}/cmdline")
        command.empty? || command.include?("tidegate")
      rescue SystemCallError
        true # no /proc, or not for this user
      end

      # Ruby itself handles HUP, USR1 and USR2, whatever the program does, and a server traps these.
      def handled?(name)
        number = Signal.list[name] or raise Failure, "this system has no signal #{name}"
        masks = File.read("#{@proc}/#{@pid}/status").scan(/^Sig(?:Cgt|Ign):\s*(\h+)/).map { |(mask)| mask.to_i(16) }
        masks.any? { |mask| mask[number - 1] == 1 }
      rescue SystemCallError
        true
      end
    end
  end
end
