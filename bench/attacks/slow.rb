# frozen_string_literal: true

# slowhttptest's four modes.
module Attacks
  module Slow
    MODES = {
      "slow headers" => %w[-H -u {url}/ -x 10],
      "slow body" => %w[-B -u {url}/echo -s 8192 -x 10],
      "ranges" => %w[-R -u {url}/large -a 10 -b 3000],
      "slow read" => %w[-X -u {url}/large -w 1 -y 2 -z 1 -n 5 -k 1]
    }.freeze

    module_function

    # Starts it, for +seconds+ at most.
    def start(target, mode, connections:, seconds:)
      arguments = MODES.fetch(mode).map { |word| word.sub("{url}", target.url) }
      # A client that is refused is not to slow the tool down: -p is how long its own probe waits.
      Rig::Child.new(["slowhttptest", "-c", connections.to_s, "-r", "500", "-i", "2", "-l", seconds.to_s, "-p", "3", "-v", "1", *arguments], name: "slowhttptest")
    rescue Errno::ENOENT
      raise Rig::Missing, "slowhttptest is not here"
    end
  end
end
