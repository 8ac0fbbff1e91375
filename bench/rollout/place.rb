# frozen_string_literal: true

require_relative "../support/servers"

# Where the pods and the clients are: on this machine's loopback, or in a network of our own.
module Rollout
  class Place
    # With a network, every address in it is ours alone, and so the ports can be fixed.
    def initialize(network = nil)
      @network = network
    end

    # What to put before a command that is to run on that side, `:pods` or `:clients`.
    def inside(side) = @network ? @network.inside(side) : []

    # Whether this process cannot reach it.
    def apart? = !@network.nil?

    def pod_host(number) = @network ? @network.pod_host(number) : "127.0.1.#{number}"

    def client_host = @network ? @network.client_host : "127.0.0.1"

    def port(host, fixed) = @network ? fixed : Rig::Servers.free_port(host)

    def stop = @network&.stop
  end
end
