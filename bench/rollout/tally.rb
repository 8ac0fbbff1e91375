# frozen_string_literal: true

require_relative "../support/child"

# What became of every request: counted by kind of client, kind of failure and phase of the roll.
# Pure bookkeeping; safe to use from several threads.
module Rollout
  class Tally
    # What the load balancer knows of the pod that is being replaced.
    PHASES = [
      STEADY = "steady",   # nothing is being replaced
      UNTOLD = "lag",      # the pod got TERM, the load balancer has not heard of it
      TOLD = "told",       # the load balancer sends no more, the pod has not ended yet
      GONE = "one left"    # the pod has ended, its replacement gets no traffic yet
    ].freeze

    Failure = Struct.new(:client, :kind, :phase, :at)

    attr_reader :failures, :marks

    def initialize
      @mutex = Mutex.new
      @changed = ConditionVariable.new
      @requests = Hash.new { |hash, client| hash[client] = Hash.new(0) }
      @slowest = Hash.new(0.0)
      @failures = []
      @marks = []
    end

    # From `at` on, requests that end belong to `phase`.
    def mark(phase, at: Rig.now)
      @mutex.synchronize { @marks << [at, phase] }
    end

    def add(outcome)
      @mutex.synchronize do
        phase = phase_at(outcome.ended_at)
        @requests[outcome.client][phase] += 1
        @slowest[outcome.client] = [@slowest[outcome.client], outcome.ended_at - outcome.began_at].max
        @failures << Failure.new(outcome.client, outcome.failure, phase, outcome.ended_at) if outcome.failure
        @changed.broadcast
      end
    end

    # Waits until at least that many requests have been answered or have failed.
    def wait_for(count, within:)
      limit = Rig.now + within
      @mutex.synchronize do
        @changed.wait(@mutex, limit - Rig.now) while total < count && Rig.now < limit
        total >= count
      end
    end

    def total = @requests.sum { |_, phases| phases.values.sum }

    def clients = @requests.keys

    def requests(client: nil, phase: nil)
      @requests.sum { |name, phases| client && name != client ? 0 : phase ? phases[phase] : phases.values.sum }
    end

    def failed(client: nil, phase: nil, kind: nil)
      @failures.count { |f| (!client || f.client == client) && (!phase || f.phase == phase) && (!kind || f.kind == kind) }
    end

    def failure_kinds = @failures.map(&:kind).uniq.sort

    def slowest(client) = @slowest[client]

    private

    def phase_at(time)
      _, phase = @marks.reverse_each.find { |at, _| at <= time }
      phase || STEADY
    end
  end
end
