# frozen_string_literal: true

# `bin/rails restart` touches a file, and Puma's plugin :tmp_restart then restarts its server. So does Tidegate, if the option
# restart_file names the file.

module Tidegate
  class RestartFile
    # Seconds between two looks at the file.
    PAUSE = 1.0

    # +path+ is relative to the present directory.
    def initialize(path)
      @path = File.expand_path(path)
      @seen = time
    end

    # Whether the file was touched since the last call, or since this object was made.
    def touched?
      now = time
      touched = !now.nil? && now != @seen
      @seen = now
      touched
    end

    # Calls the block each time the file is touched, in a thread.
    def watch(log)
      KeptThread.new("tidegate restart", log) do
        loop do
          sleep PAUSE until touched?
          yield
        end
      end.start
    end

    # As in "tmp/restart.txt was touched".
    def to_s = "#{Fault.relative(@path)} was touched"

    private

    # When the file was touched last; nil if it is not there.
    def time
      File.mtime(@path)
    rescue SystemCallError
      nil
    end
  end
end
