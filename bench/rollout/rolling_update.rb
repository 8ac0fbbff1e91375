# frozen_string_literal: true

require_relative "pod"
require_relative "tally"

# The rolling update: ends one pod after the other and puts a new one in its place, while the load balancer
# hears of everything a fixed lag late, as it does in a cluster. Marks the phases in the tally.
module Rollout
  class RollingUpdate
    STEADY_REQUESTS = 200 # before the first TERM, and after each replacement

    attr_reader :endings

    def initialize(kind, data_plane:, tally:, settings:, &say)
      @kind, @data_plane, @tally, @settings = kind, data_plane, tally, settings
      @say = say
      @endings = []
      @generation = 0
      @pods = []
    end

    # Starts the first pods and sends traffic to them.
    def deploy
      @generation = 1
      @pods = (1..@settings.pods).map { |number| new_pod(number) } # side by side, then wait for all
      @pods.each { |pod| @data_plane.route(pod.ready!) }
    end

    # Replaces `rolls` pods, one at a time.
    def roll
      @settings.rolls.times do |turn|
        @generation += 1 if (turn % @pods.size).zero?
        steady
        replace(turn % @pods.size)
      end
      steady
    end

    def stop = @pods.each(&:stop)

    private

    def replace(index)
      old = @pods[index]
      @tally.mark(Tally::UNTOLD, at: terminate(old))
      wait_out_lag(old)
      @data_plane.unroute(old)
      @tally.mark(Tally::TOLD)
      @say.call("the load balancer was told")
      ended(old)
      @data_plane.forget(old)
      @pods[index] = new_pod(index + 1).ready!
      @data_plane.route(@pods[index])
      @tally.mark(Tally::STEADY)
      @say.call("#{@pods[index].name} in place")
    end

    def terminate(pod)
      @say.call("TERM to #{pod.name}")
      pod.terminate
    end

    # The lag is a part of the experiment, counted from the TERM, whatever the pod does meanwhile.
    def wait_out_lag(pod)
      told_at = Rig.now + @settings.lag
      @say.call("#{pod.name} ended while still being sent requests") if pod.ended_within?(@settings.lag)
      sleep([told_at - Rig.now, 0].max)
    end

    def ended(pod)
      @endings << pod.wait(grace: @settings.grace)
      @tally.mark(Tally::GONE, at: [pod.ended_at, @tally.marks.last.first].max)
      @say.call("#{pod.name}: #{@endings.last.outcome} after #{@endings.last.seconds} s")
    end

    def new_pod(number)
      Pod.new(@kind, number:, generation: @generation, drain_delay: @settings.drain_delay)
    end

    # Waits until enough requests have been made with everything in place.
    def steady
      @tally.wait_for(@tally.total + STEADY_REQUESTS, within: 10) or raise Rig::Unavailable, "the clients have stopped asking"
    end
  end
end
