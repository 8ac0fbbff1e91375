# frozen_string_literal: true

require_relative "alone"
require_relative "contestants"
require_relative "result"
require_relative "stage"
require_relative "syscalls"

# The measuring of one workload: what the app takes alone; the search for the thread counts of the servers that have one to choose; rounds in
# which every server has one turn, in an order that changes with the round, so that a noisy minute does not hit the same server
# each time; and a short pass that counts system calls.
module Comparison
  class Rounds
    # `limit` is a Limit, or nil. The block is told each Turn as it comes, and sentences.
    def initialize(workload, settings:, generator:, limit: nil, &say)
      @workload, @settings, @generator, @limit, @say = workload, settings, generator, limit, say
      @seconds = workload.seconds(settings.seconds)
      @stage = Stage.new(workload, generator:, warm_up: settings.warm_up, proxy: settings.proxy, settle: settings.settle)
    end

    def call
      alone
      @contestants = contestants_of_run
      search
      turns = (1..@settings.rounds).flat_map { |number| round(number) }
      raise Rig::Unavailable, "#{@workload.name}: no server could be measured" if turns.empty?

      Result.new(@workload, turns, contestants: @contestants, alone:, syscalls:, missing: @contestants.missing, how: @settings.how,
                 processes: @settings.processes)
    end

    # The servers that take part, and how each is started; known once `call` has returned.
    attr_reader :contestants

    private

    # nil where the app cannot be called alone: then there are no limits either.
    def alone
      return @alone if defined?(@alone)

      @alone = Alone.measure(@workload, ruby: @settings.ruby)
    rescue Rig::Unavailable => error
      @say.call(error.message)
      @alone = nil
    end

    def contestants_of_run
      limits = @limit.for(@workload, alone) if @limit && alone
      Contestants.new(@settings.servers, baseline: @settings.baseline, threads: @settings.threads, workers: @settings.workers,
                                         ruby: @settings.ruby, limits:, tidegate: @workload.threads)
    end

    def search
      @contestants.searched.each do |name|
        found = @contestants.search(name, @workload.counts || @settings.counts, @workload.best_by) do |contestant|
          attempt(contestant) { @stage.turn(contestant, 0, seconds: @settings.try_seconds, whole: false) }
        end
        @say.call("#{@workload.name}: #{name.label} is best in #{found}") if found
      end
    end

    def round(number)
      @contestants.to_a.rotate(number - 1).filter_map do |contestant|
        attempt(contestant) { @stage.turn(contestant, number, seconds: @seconds) }
      end
    end

    # A server that cannot be measured this time is left out of it.
    def attempt(contestant)
      yield.tap(&@say)
    rescue Rig::Unavailable => error
      @contestants.missing[contestant.name] = error.message
      @say.call("#{contestant.name}: #{error.message}")
      nil
    end

    def syscalls
      return {} unless @settings.syscalls

      counter = Syscalls.new(@generator)
      seconds = [@settings.seconds, 2].min
      @contestants.to_a.to_h do |contestant|
        count = @stage.with(contestant.kind) { |server, usage| counter.count(server, usage, @workload.clients, seconds:) }
        [contestant.name, count]
      rescue Rig::Unavailable
        [contestant.name, nil]
      end
    end
  end
end
