# frozen_string_literal: true

# The limit of files and sockets that this process may have open at a time, as `ulimit -n` shows it. Systems set it low, for
# programs that cannot deal with many descriptors, and let other programs raise it.

module Tidegate
  module Descriptors
    # Some programs that the app may start close every possible descriptor, one by one. With the hard limit of a thousand million
    # that Docker sets, this would take minutes; with this one it takes some milliseconds.
    ENOUGH = 65_536

    # Raises the limit of a process that runs only the server: to the hard limit, and at most to ENOUGH. A limit that is higher
    # already stays.
    def self.raise_limit
      soft, hard = Process.getrlimit(:NOFILE)
      wanted = [hard, ENOUGH].min
      Process.setrlimit(:NOFILE, wanted, hard) if wanted > soft
    rescue SystemCallError, NotImplementedError
      nil # the limit stays as it is, and max_connections follows it
    end
  end
end
