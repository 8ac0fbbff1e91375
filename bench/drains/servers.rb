# frozen_string_literal: true

require_relative "../support/servers"
require_relative "../support/certificate"

# The servers that are drained, and how.
module Drains
  # What both have in common: starting a server, and waiting for its lines.
  class Servers
    APP = File.join(__dir__, "../attacks/app.ru")

    # Where new connections go.
    attr_reader :address

    def initialize(delay:, tls:)
      @delay = delay
      @certificate = Rig::Certificate.new if tls
      @lines = Queue.new
    end

    def stop
      @server&.stop(within: 60)
      @certificate&.remove
    end

    private

    # Another server, on a port of its own, which new connections go to from now on.
    def start(*options)
      port = Addrinfo.tcp("127.0.0.1", 0).bind { |socket| socket.local_address.ip_port }
      bind = @certificate ? @certificate.bind("127.0.0.1:#{port}") : "tcp://127.0.0.1:#{port}"
      command = [RbConfig.ruby, "-I", File.join(Rig::ROOT, "lib"), File.join(Rig::ROOT, "exe/tidegate"), "-b", bind, "-C", "-",
                 "--drain-delay", @delay.to_s, *options, APP]
      server = Rig::Child.new(command, name: "tidegate", redirects: { chdir: Rig::ROOT }) { |line| @lines << line }
      await(server, /ready on/)
      @next_address = "#{@certificate ? "ssl" : "tcp"}://127.0.0.1:#{port}"
      server
    end

    def await(server, pattern)
      loop do
        line = @lines.pop(timeout: 60) or raise Rig::Unavailable, "no line like #{pattern.inspect}: #{server.output.last(8).join(' | ')}"
        return line if line.match?(pattern)
      end
    end
  end

  # A cluster, each worker of which is replaced: the listening queue is one and stays.
  class Restarts < Servers
    WORKERS = 2

    def begin
      @server = start("-w", WORKERS.to_s)
      @address = @next_address
    end

    # Replaces each worker, and returns when the successors serve; those that they replace drain meanwhile.
    def drain(last:)
      @server.signal(:USR1)
      WORKERS.times { await(@server, /serves in the place of/) }
      # The next begins when the drain of this one is half over, and the last when all is.
      sleep last ? 2 * @delay : @delay / 2.0
    end
  end

  # Whole servers, as pods are: the next one is ready, the one before gets TERM, and new connections go to it for half of its drain delay.
  class Replacements < Servers
    def begin
      @server = start
      @address = @next_address
    end

    def drain(last:)
      before, @server = @server, start
      before.signal(:TERM)
      sleep @delay / 2.0
      @address = @next_address
      status = before.wait(within: 60)
      raise Rig::Unavailable, "a server ended with #{status.inspect}: #{before.output.last(4).join(" | ")}" unless status&.success?

      sleep @delay if last
    end
  end
end
