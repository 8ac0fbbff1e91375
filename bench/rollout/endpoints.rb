# frozen_string_literal: true

# What the cluster knows of its pods, and which of them get traffic. Pure: time is an argument, nothing is sent anywhere.
module Rollout
  # The three conditions of an endpoint, as Kubernetes publishes them: `ready` is false from the deletion on whatever
  # the probes say, `serving` is what the readiness probe says, `terminating` is true from the deletion on.
  Condition = Struct.new(:ready, :serving, :terminating, keyword_init: true)

  # The endpoints of one service, and the snapshots of them that are under way to the data plane.
  class Endpoints
    # Those that get traffic: the ready ones; if there are none, those that still serve while they end (KEP-1669).
    def self.chosen(conditions)
      ready = conditions.select { |_, condition| condition.ready }.keys
      ready.empty? ? conditions.select { |_, condition| condition.serving && condition.terminating }.keys : ready
    end

    # `lag` is the number of seconds that a snapshot takes.
    def initialize(lag:)
      @lag = lag
      @pods = {}
      @under_way = []
    end

    # When the snapshot that has arrived last was due.
    attr_reader :due

    # The readiness probe of that pod says something new; also how a pod appears.
    def probed(pod, serving:, at:)
      terminating = @pods[pod]&.terminating || false
      put(pod, Condition.new(ready: serving && !terminating, serving:, terminating:), at:)
    end

    # The pod is to end: no longer ready, whatever its probe says.
    def deleted(pod, at:)
      put(pod, Condition.new(ready: false, serving: @pods[pod]&.serving || false, terminating: true), at:)
    end

    # The pod has ended, and is no endpoint any more.
    def gone(pod, at:)
      publish(at:) if @pods.delete(pod)
    end

    # When the next snapshot arrives; nil while none is under way.
    def next_at = @under_way.first&.first

    # The snapshot that has arrived by now, the newest of them if there are several; nil if none has.
    def arrived(now)
      snapshot = nil
      @due, snapshot = @under_way.shift while @under_way.any? && @under_way.first.first <= now
      snapshot
    end

    # All that is under way arrives now.
    def hurry(now) = @under_way.each { |entry| entry[0] = now }

    private

    def put(pod, condition, at:)
      return if @pods[pod] == condition

      @pods[pod] = condition
      publish(at:)
    end

    # In order, also when what is told is told late.
    def publish(at:)
      arrives_at = [at + @lag, *@under_way.last&.first].max
      @under_way << [arrives_at, @pods.dup]
    end
  end
end
