# frozen_string_literal: true

# Which server has an address that is in use, where that can be known: one that was started from the same pidfile or state file.

module Tidegate
  module Occupant
    module_function

    # The end of a sentence about an address in use; nothing where the files name no server that runs.
    # @param configuration [Configuration, nil]
    # @return [String, nil]
    def hint(configuration)
      pid, file = configuration && written(configuration).find { |each, _| tidegate?(each) }
      pid && ": it is another tidegate of this configuration, process #{pid} (#{file}); kill -USR2 #{pid} has it take new code"
    end

    # The processes that the configuration's files name, each with the file.
    def written(configuration)
      { configuration.pidfile => ->(path) { File.read(path, 32).to_i }, configuration.state_path => ->(path) { StateFile.read(path)[:pid].to_i } }
        .filter_map { |path, read| [read.call(path), path] if path && File.file?(path) }
    rescue Error, SystemCallError
      []
    end

    # Whether a process of that number runs, and has the title that a server gives itself.
    def tidegate?(pid)
      pid.positive? && pid != Process.pid && File.read("/proc/#{pid}/cmdline").start_with?("tidegate ")
    rescue SystemCallError
      false # it is gone, or this system does not tell
    end
  end
end
