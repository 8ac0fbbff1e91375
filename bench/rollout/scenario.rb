# frozen_string_literal: true

require_relative "deployment"

# The ways in which pods are replaced, by name; each in the order in which Kubernetes does it.
module Rollout
  class Scenario
    NAMES = {
      "rolling" => "a new pod is started; when it is ready an old one is deleted (surge 1, unavailable 0)",
      "recreate" => "all pods are deleted, and when all have ended new ones are started",
      "single" => "rolling, with one replica",
      "evict" => "one replica, deleted first and replaced meanwhile, as when a node is drained",
      "scale-down" => "one pod fewer, then one more again"
    }.freeze

    ONE_REPLICA = %w[single evict].freeze

    STEADY_REQUESTS = 200 # before each turn and after the last

    def initialize(deployment, tally:, settings:)
      @deployment, @tally, @settings = deployment, tally, settings
      @turn = method(settings.scenario.tr("-", "_"))
    end

    # Turn after turn until it is enough; before each, requests are made with everything in place.
    def run
      turns = 0
      until enough?(turns)
        steady
        @turn.call
        @deployment.settled
        turns += 1
      end
      steady
      turns
    end

    private

    def enough?(turns) = @settings.loop ? turns.positive? && @tally.total >= @settings.requests : turns >= @settings.rolls

    def rolling
      fresh = @deployment.add
      retire(oldest)
      @deployment.routed([fresh])
    end

    alias single rolling

    def evict
      old = oldest
      @deployment.delete(old)
      fresh = @deployment.add
      @deployment.gone(old)
      @deployment.routed([fresh])
    end

    def scale_down
      retire(oldest)
      @deployment.routed([@deployment.add])
    end

    # Here no pod serves for a while whatever the server does; what fails then is counted apart.
    def recreate
      old = @deployment.pods.dup
      @deployment.delete(*old)
      @deployment.down(*old)
      @deployment.gone(*old)
      fresh = Array.new(old.size) { @deployment.start }.each(&:ready!)
      @deployment.routed(fresh)
    end

    def oldest = @deployment.pods.first

    def retire(kubelet)
      @deployment.delete(kubelet)
      @deployment.gone(kubelet)
    end

    def steady
      @tally.wait_for(@tally.total + STEADY_REQUESTS, within: 20) or raise Rig::Unavailable, "the clients have stopped asking"
    end
  end
end
