# frozen_string_literal: true

require "json"
require "optparse"
require_relative "progress"
require_relative "shots/accept_queue"
require_relative "shots/closing_listener"
require_relative "shots/keep_alive"
require_relative "shots/slow_reader"

# `bin/rollout shots`: the moments at which an ending server loses requests, each many times, with Tidegate and with
# Puma beside it, and a Markdown table of what was lost.
module Rollout
  module Shots
    ALL = { "accept-queue" => AcceptQueue, "listener" => ClosingListener, "keep-alive" => KeepAlive, "slow-reader" => SlowReader }.freeze

    Settings = Struct.new(:times, :shots, :servers, :json, :quiet, keyword_init: true) do
      def self.parse(argv)
        settings = new(times: 20, shots: ALL.keys, servers: nil, json: false, quiet: false)
        rest = settings.parser.parse(argv)
        raise OptionParser::InvalidArgument, rest.first unless rest.empty?
        raise OptionParser::InvalidArgument, "--times needs at least 1" unless settings.times.positive?
        raise OptionParser::InvalidArgument, "no such shot: #{(settings.shots - ALL.keys).first}" unless (settings.shots - ALL.keys).empty?

        settings.freeze
      end

      def parser
        OptionParser.new("usage: bin/rollout shots [options]") do |o|
          o.on("--times N", Integer, "how often each is done (#{times})") { |v| self.times = v }
          o.on("--shot NAME,...", Array, "only these of #{ALL.keys.join(", ")}") { |v| self.shots = v }
          o.on("--server NAME", "only servers with this in their name: Tidegate, Puma") { |v| self.servers = v }
          o.on("--json", "print the result as JSON") { self.json = true }
          o.on("-q", "--quiet", "no progress") { self.quiet = true }
        end
      end
    end

    # Runs them all; the exit status of the program.
    class Command
      def initialize(argv, out: $stdout, err: $stderr)
        @settings = Settings.parse(argv)
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
        @contestants ||= Contestant.all.select { |it| @settings.servers.nil? || it.name.include?(@settings.servers) }
      end

      def json(results)
        { times: @settings.times, skipped: @skipped, results: results.map { |it| { **it.to_h, requests: it.requests, lost: it.lost } } }
      end
    end

    # The results in Markdown.
    class Table
      HEAD = ["shot", "server", "times", "requests", "lost", "how", "ended with"].freeze

      def initialize(results, skipped)
        @results, @skipped = results, skipped
      end

      def to_s
        rows = [HEAD, ["---"] * HEAD.size, *@results.map { |result| row(result) }]
        [*rows.map { |row| "| #{row.join(" | ")} |" }, *@skipped.map { |name, why| "\nNot done: #{name}, because #{why}." }].join("\n")
      end

      private

      def row(result)
        [result.shot, result.contestant, result.times, result.requests, result.lost, counts(result.losses), counts(result.endings)]
      end

      def counts(numbers) = numbers.empty? ? "-" : numbers.map { |what, number| "#{number} × #{what}" }.join(", ")
    end
  end
end
