# frozen_string_literal: true

require "rbconfig"
require "socket"
require_relative "../support/child"

# A data plane without root: a TCP relay that does what kube-proxy does. Each connection goes to one pod taken at random
# and stays there for its life; nothing is repeated; without a pod, connections are refused.
#
# One difference to the kernel's way: the client's handshake is done before a pod is asked, so that a pod's refusal
# reaches the client as a reset.
module Rollout
  class Picker
    PROGRAM = File.expand_path("picker_process.rb", __dir__)

    attr_reader :address

    def initialize(place:)
      ours, theirs = UNIXSocket.pair
      @control = ours
      @pods = []
      @child = Rig::Child.new([*place.inside(:clients), RbConfig.ruby, PROGRAM, place.client_host],
                              name: "picker", redirects: { in: theirs, 3 => theirs })
      theirs.close
      @address = [place.client_host, answer.to_i]
    end

    def route(pod) = change { @pods |= [pod] }

    def unroute(pod) = change { @pods -= [pod] }

    def forget(pod) = @pods.include?(pod) && unroute(pod)

    # Connections given to pods, and those that the pod refused.
    def counters
      accepted, refused = ask("counters").split.map(&:to_i)
      { connections: accepted, connect_errors: refused }
    end

    def stop
      @control.close
      @child.stop(within: 2)
    end

    private

    def change
      yield
      ask("pods #{@pods.map { |pod| "#{pod.host}:#{pod.port}" }.join(' ')}")
    end

    def ask(line)
      @control.puts(line)
      answer
    end

    def answer
      @control.wait_readable(10) && @control.gets or
        raise Rig::Unavailable, "the picker does not answer (#{@child.outcome}): #{@child.output.last(3).join(' | ')}"
    end
  end
end
