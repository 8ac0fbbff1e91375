# frozen_string_literal: true

# The most files and sockets that this process may have open at a time, as `ulimit -n` shows it. Systems set the usual limit low
# for programs that cannot deal with many, and leave it to the others to ask for more.

module Tidegate
  module Descriptors
    # Some programs that the app may start close every descriptor that there could be, one by one. A hard limit of a thousand
    # million, as Docker sets it, would keep them busy for minutes; this many takes some milliseconds.
    ENOUGH = 65_536

    # Raises the limit of a process that is all ours as far as it may, or to what is enough. One that is higher stays.
    def self.raise_limit
      soft, hard = Process.getrlimit(:NOFILE)
      wanted = [hard, ENOUGH].min
      Process.setrlimit(:NOFILE, wanted, hard) if wanted > soft
    rescue SystemCallError, NotImplementedError
      nil # it stays as it is, and max_connections follows it
    end
  end
end
