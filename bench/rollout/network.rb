# frozen_string_literal: true

require "rbconfig"
require_relative "../support/child"

# A network of our own, made by root: one namespace with nothing but loopback, or two with a delay between them.
# Loopback's round trip of 20 us hides two ways to lose a request: a handshake that is not complete when a listener
# closes, and a request that crosses the end of its connection.
#
# A process holds the network (network/holder.rb) and removes it when we end, however we end.
module Rollout
  class Network
    HOLDER = File.expand_path("network/holder.rb", __dir__)

    # Where pods and clients are, in the one namespace and in the two.
    NEAR = { pods: "127.0.1.%d", clients: "127.0.0.1" }.freeze
    FAR = { pods: "10.0.1.%d", clients: "10.0.0.1" }.freeze

    # Says by Rig::Missing why there can be none here.
    def self.check(delay: nil)
      raise Rig::Missing, "network namespaces are made by root, and we are not" unless Process.euid.zero?
      raise Rig::Missing, "the program ip is not here: install iproute2" unless system("ip", "-V", out: File::NULL)
      raise Rig::Missing, "/dev/net/tun is not here, and a delay needs it" unless delay.to_f.zero? || File.exist?("/dev/net/tun")
    end

    # `delay` is that of one direction, in seconds; nil or 0 for none.
    def initialize(delay: nil)
      @delay = delay.to_f
      self.class.check(delay:)
      @hosts = @delay.positive? ? FAR : NEAR
      @names = hold
      at_exit { stop }
    end

    # What to put before a command that is to run on that side, `:pods` or `:clients`.
    def inside(side) = ["ip", "netns", "exec", @names.fetch(side)]

    # An address for that pod, 1 to 250, which the clients reach.
    def pod_host(number) = format(@hosts.fetch(:pods), number)

    # The clients' own address.
    def client_host = @hosts.fetch(:clients)

    # Takes the pods' end of the link away, as happens to a pod that has ended. For good.
    def unplug
      raise Rig::Unavailable, "a network without a delay has no link to take away" unless @delay.positive?

      system("ip", "-netns", @names.fetch(:pods), "link", "delete", "dev", "wire", exception: true)
    end

    # Removes everything, what still runs in it included. Safe to call twice.
    def stop
      return if @stdin.closed?

      @stdin.close
      @child.wait(within: 10)
      @child.stop
    end

    private

    # Starts the holder; the names of the namespaces.
    def hold
      theirs, @stdin = IO.pipe
      @child = Rig::Child.new([RbConfig.ruby, HOLDER, @delay.to_s], name: "network", redirects: { in: theirs, pgroup: true })
      theirs.close
      if @child.wait_for_line(/\Aready /, within: 20)
        pods, clients = @child.output.grep(/\Aready /).first.split.drop(1)
        return { pods:, clients: }
      end
      stop
      raise Rig::Missing, "no network could be made here: #{@child.output.last || @child.outcome}"
    end
  end
end
