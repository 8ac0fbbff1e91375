# frozen_string_literal: true

require "socket"
require "tempfile"
require_relative "../rollout/programs"
require_relative "../support/child"
require_relative "../support/haproxy"

# HAProxy between the load and a server.
module Comparison
  class Proxy
    attr_reader :address

    # Serves once it has been made: its socket is made here and passed on, and what comes meanwhile waits in the queue.
    def initialize(server)
      program = Rollout::Programs.find("haproxy")
      @front = TCPServer.new("127.0.0.1", 0)
      @address = ["127.0.0.1", @front.local_address.ip_port]
      @configuration = Tempfile.new(["haproxy", ".cfg"])
      @configuration.write(Rig::HAProxy.configuration(front: @front.fileno, server:))
      @configuration.close
      @child = Rig::Child.new([program, "-db", "-f", @configuration.path], name: "haproxy", redirects: { @front => @front })
      @front.close
    end

    def stop
      @child.stop(within: 2)
      @configuration.unlink
    end
  end
end
