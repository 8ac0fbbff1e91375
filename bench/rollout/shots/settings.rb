# frozen_string_literal: true

require "optparse"

# What one run of `bin/rollout shots` is to do: every number with its default, and the command line that changes it.
module Rollout
  module Shots
    Settings = Struct.new(:times, :shots, :servers, :workers, :json, :quiet, keyword_init: true) do
      # +names+ are those of all shots.
      def self.parse(argv, names:)
        settings = new(times: 20, shots: names, servers: nil, workers: 0, json: false, quiet: false)
        rest = settings.parser.parse(argv)
        raise OptionParser::InvalidArgument, rest.first unless rest.empty?
        raise OptionParser::InvalidArgument, "--times needs at least 1" unless settings.times.positive?
        raise OptionParser::InvalidArgument, "a server has 0 to 16 workers" unless settings.workers.between?(0, 16)
        unknown = settings.shots - names
        raise OptionParser::InvalidArgument, "no such shot: #{unknown.first}" unless unknown.empty?

        settings.freeze
      end

      def parser
        OptionParser.new("usage: bin/rollout shots [options]") do |o|
          o.on("--times N", Integer, "how often each is done (#{times})") { |v| self.times = v }
          o.on("--shot NAME,...", Array, "only these of #{shots.join(", ")}") { |v| self.shots = v }
          o.on("--server NAME", "only servers with this in their name: Tidegate, Puma") { |v| self.servers = v }
          o.on("--workers N", Integer, "worker processes of each, by WEB_CONCURRENCY (#{workers}: a single process)") { |v| self.workers = v }
          o.on("--json", "print the result as JSON") { self.json = true }
          o.on("-q", "--quiet", "no progress") { self.quiet = true }
        end
      end
    end
  end
end
