# frozen_string_literal: true

require_relative "contestants"
require_relative "result"
require_relative "stage"
require_relative "syscalls"

# The measuring of one workload: the search for the thread count of the server that the others are compared with; rounds in which
# every server has one turn, in an order that changes with the round, so that a noisy minute does not hit the same server
# each time; and a short pass that counts system calls.
module Comparison
  class Rounds
    # The block is told each Turn as it comes, and sentences.
    def initialize(workload, settings:, generator:, &say)
      @workload, @settings, @generator, @say = workload, settings, generator, say
      @stage = Stage.new(workload, generator:, warm_up: settings.warm_up, proxy: settings.proxy)
      @contestants = Contestants.new(settings.servers, baseline: settings.baseline, threads: settings.threads, workers: settings.workers)
    end

    def call
      search if @contestants.search?
      taking_part = @contestants.to_a
      turns = (1..@settings.rounds).flat_map { |round| round(taking_part, round) }
      raise Rig::Unavailable, "#{@workload.name}: no server could be measured" if turns.empty?

      Result.new(@workload, turns, baselines: ->(number) { @contestants.baseline_for(number) }, syscalls: syscalls(taking_part),
                                   found: @contestants.found, missing: @contestants.missing, how: @settings.how)
    end

    # The servers that take part, once they are known.
    def contestants = @contestants.to_a

    private

    def search
      best_by = @workload.best_by
      found = @contestants.search(@settings.counts, best_by) do |contestant|
        attempt(contestant) { @stage.turn(contestant, 0, seconds: @settings.try_seconds, idle: false) }
      end
      @say.call("#{@workload.name}: #{@settings.baseline} is best in #{found}") if found
    rescue Rig::Unavailable => error
      @contestants.missing[@settings.baseline] = error.message
    end

    def round(contestants, number)
      contestants.rotate(number - 1).filter_map do |contestant|
        attempt(contestant) { @stage.turn(contestant, number, seconds: @settings.seconds) }
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

    def syscalls(contestants)
      return {} unless @settings.syscalls

      counter = Syscalls.new(@generator)
      seconds = [@settings.seconds, 2].min
      contestants.to_h do |contestant|
        count = @stage.with(contestant.kind) { |server, usage| counter.count(server, usage, @workload.clients, seconds:) }
        [contestant.name, count]
      rescue Rig::Unavailable
        [contestant.name, nil]
      end
    end
  end
end
