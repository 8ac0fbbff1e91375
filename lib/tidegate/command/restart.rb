# frozen_string_literal: true

# `bin/rails restart` touches a file, and Puma's plugin :tmp_restart makes its server start again then. Here: the server
# stops as on Ctrl-C, with everything in flight finished, and the same command takes the place of its process. Between
# the two nobody listens, so that this is for development; in production another process takes over.

require "rbconfig"

module Tidegate
  class Restart
    # Seconds between two looks at the file.
    PAUSE = 1.0

    # The words of the command that started this process; nil where they are not known any more. A program that has
    # set a process title, as `bundle exec` does, has overwritten what the system keeps of them.
    def self.own_command
      words = File.exist?("/proc/self/cmdline") ? File.read("/proc/self/cmdline").split("\0") : []
      program = words.index($PROGRAM_NAME)
      return [RbConfig.ruby, *words.drop(1)] if program&.positive?

      [RbConfig.ruby, $PROGRAM_NAME, *ARGV] if File.basename($PROGRAM_NAME) == "tidegate"
    end

    # +command+ is a list of words, or text for the shell; it is given in +directory+.
    def initialize(path, command, directory, log)
      @path = File.expand_path(path)
      @command = command
      @directory = directory
      @log = log
      @seen = touched
    end

    # Watches the file, and stops +server+ when it is touched, or has been since this object was made.
    def watch(server)
      @thread = KeptThread.new("tidegate restart", @log) do
        sleep PAUSE until (now = touched) && now != @seen
        @wanted = true
        @log.info("restarting, as #{Fault.relative(@path)} was touched")
        server.stop
      end.start
    end

    def wanted? = @wanted == true

    # Ends the watching.
    def stop = @thread&.kill

    # Replaces the process. Comes back only with an Error.
    def execute
      exec(*@command, chdir: @directory)
    rescue SystemCallError => error
      raise Error, "cannot restart: #{Fault.reason(error)}"
    end

    private

    # When the file was touched last; nil when it is not there.
    def touched
      File.mtime(@path)
    rescue SystemCallError
      nil
    end
  end
end
