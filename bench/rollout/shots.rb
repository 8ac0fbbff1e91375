# frozen_string_literal: true

require "json"
require_relative "progress"
require_relative "shots/accept_queue"
require_relative "shots/closing_listener"
require_relative "shots/keep_alive"
require_relative "shots/settings"
require_relative "shots/slow_reader"
require_relative "shots/table"

# `bin/rollout shots`: the moments at which an ending server loses requests, each many times, with Tidegate and with
# Puma beside it, and a Markdown table of what was lost.
module Rollout
  module Shots
    ALL = { "accept-queue" => AcceptQueue, "listener" => ClosingListener, "far-listener" => FarListener,
            "keep-alive" => KeepAlive, "slow-reader" => SlowReader }.freeze

    # Runs them all; the exit status of the program.
    class Command
      def initialize(argv, out: $stdout, err: $stderr)
        @settings = Settings.parse(argv, names: ALL.keys)
        @out = out
        @progress = Progress.new(@settings.quiet ? File.open(File::NULL, "w") : err)
        @skipped = {}
      end

      def call
        results = @settings.shots.flat_map { |name| results_of(name) }
        @out.puts(@settings.json ? JSON.pretty_generate(json(results)) : Table.new(results, @skipped).to_s)
        return 2 if results.empty?

        results.any? { |result| result.lost.positive? && result.contestant == "Tidegate" } ? 1 : 0
      end

      private

      # What this machine cannot do is said, and the rest is done.
      def results_of(name)
        shot = ALL.fetch(name).new { |sentence| @progress.say("#{name}: #{sentence}") }
        contestants.map { |contestant| shot.run(contestant, times: @settings.times) }
      rescue Rig::Missing => error
        @skipped[name] = error.message
        []
      ensure
        shot&.stop
      end

      def contestants
        @contestants ||= Contestant.all(workers: @settings.workers).select { |it| @settings.servers.nil? || it.name.include?(@settings.servers) }
      end

      def json(results)
        { times: @settings.times, skipped: @skipped, results: results.map { |it| { **it.to_h, requests: it.requests, lost: it.lost } } }
      end
    end
  end
end
