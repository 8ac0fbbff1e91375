# frozen_string_literal: true

require_relative "../support/child"
require_relative "latencies"
require_relative "timeline"

# What became of every request: counted by kind of client, kind of failure and phase of the roll.
# Pure bookkeeping, in memory that does not grow with the requests; safe to use from several threads.
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

    KEPT = 1000 # so many failures are kept with their details; all are counted

    # A part of a roll: its phase, and the seconds from the TERM to its beginning and its end, on average over the rolls.
    Span = Struct.new(:phase, :from, :to)

    # The first failures with their details, and when each phase began.
    attr_reader :failures, :marks

    def initialize
      @mutex = Mutex.new
      @changed = ConditionVariable.new
      @total = 0
      @requests = Hash.new(0) # by client and phase
      @failed = Hash.new(0) # by client, phase and kind of failure
      @latencies = Hash.new { |hash, client| hash[client] = Latencies.new }
      @timeline = Timeline.new
      @failures = []
      @marks = []
    end

    # From `at` on, requests that end belong to `phase`. Each "lag" begins with a TERM.
    def mark(phase, at: Rig.now)
      @mutex.synchronize do
        @marks << [at, phase]
        @timeline.term(at) if phase == UNTOLD
      end
    end

    def add(outcome)
      @mutex.synchronize do
        phase = phase_at(outcome.ended_at)
        @total += 1
        @requests[[outcome.client, phase]] += 1
        @latencies[outcome.client].add(outcome.ended_at - outcome.began_at)
        @timeline.add(outcome.ended_at, failed: !outcome.failure.nil?)
        note_failure(outcome, phase) if outcome.failure
        @changed.broadcast
      end
    end

    # Waits until at least that many requests have been answered or have failed.
    def wait_for(count, within:)
      limit = Rig.now + within
      @mutex.synchronize do
        @changed.wait(@mutex, limit - Rig.now) while @total < count && Rig.now < limit
        @total >= count
      end
    end

    attr_reader :total

    # The phase that is now.
    def phase = @mutex.synchronize { @marks.last&.last || STEADY }

    def clients = @mutex.synchronize { @latencies.keys }

    # How many requests were made, in all or by that client or in that phase.
    def requests(client: nil, phase: nil)
      @mutex.synchronize { @requests.sum { |(name, at), count| (!client || client == name) && (!phase || phase == at) ? count : 0 } }
    end

    # How many failed, by any of the three.
    def failed(client: nil, phase: nil, kind: nil)
      failure_counts.sum do |(name, at, how), count|
        (!client || client == name) && (!phase || phase == at) && (!kind || kind == how) ? count : 0
      end
    end

    # Counts by [client, phase, kind of failure].
    def failure_counts = @mutex.synchronize { @failed.dup }

    def failure_kinds = failure_counts.keys.map(&:last).uniq.sort

    # The seconds that the slowest request of that client took.
    def slowest(client) = latencies(client).max

    def latencies(client) = @mutex.synchronize { @latencies[client].dup }

    # Requests and failures by their time from the nearest TERM; see Timeline.
    def timeline = @mutex.synchronize { @timeline.bins }

    def terms = @timeline.terms

    # How long after a TERM each phase lasted, on average; what is steady is left out.
    def spans
      marks = @mutex.synchronize { @marks.dup }
      rolls = marks.slice_before { |_, phase| phase == UNTOLD }.select { |(_, phase), *| phase == UNTOLD }
      pieces = rolls.flat_map { |roll| pieces_of(roll) }.group_by(&:phase)
      pieces.map { |phase, all| Span.new(phase, mean(all.map(&:from)), mean(all.map(&:to))) }
    end

    private

    def note_failure(outcome, phase)
      @failed[[outcome.client, phase, outcome.failure]] += 1
      @failures << Failure.new(outcome.client, outcome.failure, phase, outcome.ended_at) if @failures.size < KEPT
    end

    def phase_at(time)
      _, phase = @marks.reverse_each.find { |at, _| at <= time }
      phase || STEADY
    end

    # What lies between the marks of one roll.
    def pieces_of(roll)
      term, = roll.first
      roll.each_cons(2).filter_map do |(from, phase), (to, _)|
        Span.new(phase, from - term, to - term) unless phase == STEADY
      end
    end

    def mean(numbers) = (numbers.sum / numbers.size).round(3)
  end
end
