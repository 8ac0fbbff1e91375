# frozen_string_literal: true

require "open3"
require_relative "../support/child"
require_relative "programs"

# A data plane: the kernel, told by nftables what kube-proxy tells it. A connection to the service's address goes to one
# pod taken at random, connection tracking keeps it there for its life, and without a pod it is refused. No process is in
# the path, so that the pod's own handshake, resets and FINs reach the client. Needs root and a network of our own.
module Rollout
  class KubeProxy
    SERVICE = 200 # the number of the service's address among those of pods: no pod has it
    PORT = 80

    attr_reader :address

    def initialize(place:)
      raise Rig::Missing, "kube-proxy needs a network of our own" unless place.apart?

      @nft = [*place.inside(:clients), Programs.find("nft")]
      @address = [place.pod_host(SERVICE), PORT]
      @pods = []
      tell(<<~RULES)
        table ip rollout {
          counter picked {}
          counter refused {}
          chain services { type nat hook output priority -100; }
          chain no-endpoints { type filter hook output priority -110; }
        }
      RULES
      change {}
    end

    def route(pod) = change { @pods |= [pod] }

    def unroute(pod) = change { @pods -= [pod] }

    def forget(pod) = @pods.include?(pod) && unroute(pod)

    # Connections given to pods, and those refused because there was none.
    def counters
      text = run(["list", "counters", "table", "ip", "rollout"])
      { connections: text[/counter picked \{\s*packets (\d+)/, 1].to_i, refused: text[/counter refused \{\s*packets (\d+)/, 1].to_i }
    end

    def stop = run(%w[delete table ip rollout])

    private

    # All pods in one transaction: there is no moment in between.
    def change
      yield
      tell(<<~RULES)
        flush chain ip rollout services
        flush chain ip rollout no-endpoints
        #{@pods.empty? ? refuse : pick}
      RULES
    end

    def pick
      map = @pods.each_with_index.map { |pod, index| "#{index} : #{pod.host} . #{pod.port}" }.join(", ")
      "add rule ip rollout services #{service} counter name picked dnat to numgen random mod #{@pods.size} map { #{map} }"
    end

    def refuse = "add rule ip rollout no-endpoints #{service} ct state new counter name refused reject"

    def service = "ip daddr #{@address.first} tcp dport #{PORT}"

    def tell(rules) = run(["-f", "-"], rules)

    def run(arguments, input = "")
      output, status = Open3.capture2e(*@nft, *arguments, stdin_data: input)
      status.success? or raise Rig::Missing, "nft cannot do that here: #{output.lines.first&.strip}"
      output
    end
  end
end
