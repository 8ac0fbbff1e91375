# frozen_string_literal: true

require "socket"
require "tempfile"
require_relative "../rollout/programs"
require_relative "../support/child"

# HAProxy between the load and a server: every request may use any of its connections to the server, and it opens more only
# where all of them are in use.
module Comparison
  class Proxy
    CONFIGURATION = <<~TEXT
      global
        maxconn 4096
        nbthread 1
      defaults
        mode http
        timeout connect 10s
        timeout client 60s
        timeout server 60s
        retries 0
        http-reuse always
      frontend front
        bind fd@%<front>d
        default_backend servers
      backend servers
        server one %<address>s pool-max-conn 256 pool-purge-delay 60s
    TEXT

    attr_reader :address

    # Serves once it has been made: its socket is made here and passed on, and what comes meanwhile waits in the queue.
    def initialize(server)
      program = Rollout::Programs.find("haproxy")
      @front = TCPServer.new("127.0.0.1", 0)
      @address = ["127.0.0.1", @front.local_address.ip_port]
      @configuration = Tempfile.new(["haproxy", ".cfg"])
      @configuration.write(format(CONFIGURATION, front: @front.fileno, address: server))
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
