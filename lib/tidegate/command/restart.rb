# frozen_string_literal: true

# `bin/rails restart` touches a file, and Puma's plugin :tmp_restart then restarts its server. Tidegate stops as on Ctrl-C,
# finishes the requests in flight, and replaces its process by the same command. Meanwhile no process listens, so that this is
# for development; in production another process takes over.

require "rbconfig"

module Tidegate
  class Restart
    # Seconds between two looks at the file.
    PAUSE = 1.0

    # The words of the command that started this process; nil if they are not known any more. A program that sets a process title,
    # as `bundle exec` does, overwrites what the system has of them.
    def self.own_command
      words = File.exist?("/proc/self/cmdline") ? File.read("/proc/self/cmdline").split("\0") : []
      program = words.index($PROGRAM_NAME)
      return [RbConfig.ruby, *words.drop(1)] if program&.positive?

      [RbConfig.ruby, $PROGRAM_NAME, *ARGV] if File.basename($PROGRAM_NAME) == "tidegate"
    end

    # +command+ is a list of words, or text for the shell; it is run in +directory+.
    def initialize(path, command, directory, log)
      @path = File.expand_path(path)
      @command = command
      @directory = directory
      @log = log
      @seen = touched
    end

    # Watches the file, and stops +server+ when it is touched, or was touched since this object was made.
    def watch(server)
      @thread = KeptThread.new("tidegate restart", @log) do
        sleep PAUSE until (now = touched) && now != @seen
        @wanted = true
        @log.info("restarting, as #{Fault.relative(@path)} was touched")
        server.stop
      end.start
    end

    def wanted? = @wanted == true

    # Stops watching.
    def stop = @thread&.kill

    # Replaces the process. Does not return; raises an Error if that fails.
    def execute
      exec(*@command, chdir: @directory)
    rescue SystemCallError => error
      raise Error, "cannot restart: #{Fault.reason(error)}"
    end

    private

    # When the file was touched last; nil if it is not there.
    def touched
      File.mtime(@path)
    rescue SystemCallError
      nil
    end
  end
end
