# frozen_string_literal: true

require_relative "stage"
require_relative "workload"

# Latency against load: each server is asked at fixed rates, by the clock, from a tenth of the most it has answered up to
# all of it, and no further once it cannot keep up.
module Comparison
  class Sweep
    SHARES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0].freeze
    KEEPS_UP = 0.95 # of the rate asked for
    LEAST = 0.1 # requests per second; a kind of client may have had none
    # At least so many, so that it is the server that a request waits for, and not a connection.
    CONNECTIONS = 64

    # What one kind of client saw at one load; `offered` is its own rate.
    Point = Struct.new(:offered, :rate, :p50, :p99, :errors, keyword_init: true) do
      def keeps_up? = rate >= KEEPS_UP * offered
    end

    # Only where all clients take what they get.
    def self.fits?(workload) = workload.idle.nil? && workload.clients.all? { |client| client.values_at("rate", "pause", "mix").none? }

    def initialize(workload, settings:, generator:, &say)
      @workload, @generator, @say = workload, generator, say
      @seconds = settings.try_seconds
      @stage = Stage.new(workload, generator:, warm_up: settings.warm_up, proxy: settings.proxy)
    end

    # By the name of each contestant, a Hash for each load with the Point of each client; `most` says how many requests of a client per second
    # a contestant has answered.
    def call(contestants, most)
      contestants.to_h do |contestant|
        rates = @workload.clients.to_h { |client| [client["name"], most.call(contestant.name, client["name"])] }
        [contestant.name, @stage.with(contestant.kind) { |server, _| loads(server, rates) }]
      rescue Rig::Unavailable => error
        @say.call("#{contestant.name}: #{error.message}")
        [contestant.name, []]
      end.reject { |_, loads| loads.empty? }
    end

    private

    def loads(server, rates)
      SHARES.each_with_object([]) do |share, loads|
        loads << points(server, rates.transform_values { |rate| [(share * rate).round(2), LEAST].max })
        @say.call(sentence(server.kind.name, loads.last))
        break loads unless loads.last.values.all?(&:keeps_up?)
      end
    end

    def points(server, rates)
      clients = @workload.clients.map do |client|
        client.merge("rate" => rates.fetch(client["name"]), "connections" => [client["connections"], CONNECTIONS].max)
      end
      @generator.measure(server.address, clients, seconds: @seconds).to_h do |name, sample|
        [name, Point.new(offered: rates.fetch(name), rate: sample.rate, p50: sample.p50, p99: sample.p99, errors: sample.errors)]
      end
    end

    def sentence(server, points)
      each = points.map { |name, point| format("%<name>s%<offered>.0f/s: p50 %<p50>.2f ms, p99 %<p99>.2f ms", name: points.size > 1 ? "#{name} " : "", **point.to_h) }
      "#{server} at #{each.join('; ')}"
    end
  end
end
