# frozen_string_literal: true

require_relative "stage"
require_relative "workload"

# Latency against load: each server is asked at fixed rates, by the clock, from a tenth of the most it has answered up to
# all of it, and no further once it cannot keep up.
module Comparison
  class Sweep
    SHARES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0].freeze
    KEEPS_UP = 0.95 # of the rate asked for

    Point = Struct.new(:offered, :rate, :p50, :p99, :errors, keyword_init: true)

    # Only where there is one kind of client that takes what it gets.
    def self.fits?(workload) = workload.clients.size == 1 && workload.idle.nil? && workload.clients.first.values_at("rate", "pause").none?

    def initialize(workload, settings:, generator:, &say)
      @workload, @generator, @say = workload, generator, say
      @seconds = settings.try_seconds
      @stage = Stage.new(workload, generator:, warm_up: settings.warm_up, proxy: settings.proxy)
    end

    # The Points of each contestant by its name; `most` says how many requests per second it has answered.
    def call(contestants, most)
      contestants.to_h do |contestant|
        [contestant.name, @stage.with(contestant.kind) { |server, _| points(server, most.call(contestant.name)) }]
      rescue Rig::Unavailable => error
        @say.call("#{contestant.name}: #{error.message}")
        [contestant.name, []]
      end.reject { |_, points| points.empty? }
    end

    private

    def points(server, most)
      SHARES.each_with_object([]) do |share, points|
        points << point(server, share * most)
        @say.call(format("%s at %.0f/s: p50 %.2f ms, p99 %.2f ms", server.kind.name, *points.last.to_h.values_at(:offered, :p50, :p99)))
        break points if points.last.rate < KEEPS_UP * points.last.offered
      end
    end

    def point(server, offered)
      client = @workload.clients.first.merge("rate" => offered.round(2))
      sample = @generator.measure(server.address, [client], seconds: @seconds).values.first
      Point.new(offered: offered.round(2), rate: sample.rate, p50: sample.p50, p99: sample.p99, errors: sample.errors)
    end
  end
end
