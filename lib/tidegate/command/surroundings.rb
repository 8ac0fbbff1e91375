# frozen_string_literal: true

# Where a server runs: what the launcher has found out from the environment and the file system. A server that is embedded in the
# app's own process uses defaults, and looks at neither.

require "etc"

module Tidegate
  # +platform+ is :kubernetes, :container or :plain. +temporary_directory+ is the directory for request bodies that are too large
  # for memory, unless spool_directory is set. +sockets+ are the InheritedSockets.
  Surroundings = Data.define(:platform, :temporary_directory, :sockets) do
    # The defaults.
    def self.unknown = new(platform: :plain, temporary_directory: Etc.systmpdir, sockets: InheritedSockets.none)

    # The surroundings of a process that runs only the server. The directory for temporary files is made if it is missing, and
    # +log+ gets what is wrong with it, and with the sockets that +env+ tells of.
    def self.of(env, log)
      sockets = InheritedSockets.take(env, log)
      new(platform: Platform.of(env), temporary_directory: TemporaryDirectory.new(env, log).prepare, sockets:)
    end
  end
end
