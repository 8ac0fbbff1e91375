# frozen_string_literal: true

# Where a server runs, as the launcher found out from the environment and the file system. A server that is embedded in a
# process of its app's own is told nothing, and looks at neither.

require "etc"

module Tidegate
  # +platform+ is :kubernetes, :container or :plain; +temporary_directory+ is where request bodies wait that are too large for
  # memory, unless spool_directory says otherwise.
  Surroundings = Data.define(:platform, :temporary_directory) do
    # What is known without a look.
    def self.unknown = new(platform: :plain, temporary_directory: Etc.systmpdir)

    # Those of a process that is the server's own: a directory for temporary files is made if it is missing, and what is wrong
    # with it goes to +log+.
    def self.of(env, log) = new(platform: Platform.of(env), temporary_directory: TemporaryDirectory.new(env, log).prepare)
  end
end
