# frozen_string_literal: true

require "optparse"

# What one run of bin/rollout is to do: every number with its default, and the command line that changes it.
module Rollout
  Settings = Struct.new(:server, :pods, :rolls, :lag, :drain_delay, :grace, :requests, :rate, :json, :quiet, keyword_init: true) do
    # The defaults, but for what is given.
    def self.with(**changes)
      new(server: "tidegate", pods: 2, rolls: 1, lag: 2.0, drain_delay: 3.0, grace: 30.0, requests: 2000, rate: 260.0,
          json: false, quiet: false, **changes)
    end

    def self.parse(argv)
      settings = with
      rest = settings.parser.parse(argv)
      raise OptionParser::InvalidArgument, rest.first unless rest.empty?
      raise OptionParser::InvalidArgument, "a run needs at least 2 pods, 1 roll and a rate" if settings.too_small?

      settings.freeze
    end

    def too_small? = pods < 2 || pods > 7 || rolls < 1 || !rate.positive?

    def parser
      OptionParser.new("usage: bin/rollout [options]") do |o|
        o.on("--server NAME|CMD", "tidegate, puma, puma8, or a command with {host}, {port}, {app} (#{server})") { |v| self.server = v }
        o.on("--pods N", Integer, "server processes behind the load balancer, 2 to 7 (#{pods})") { |v| self.pods = v }
        o.on("--rolls N", Integer, "how many of them are replaced, one after the other (#{rolls})") { |v| self.rolls = v }
        o.on("--lag S", Float, "seconds from TERM until the load balancer is told (#{lag})") { |v| self.lag = v }
        o.on("--drain-delay S", Float, "given to Tidegate, or a command's {drain_delay} (#{drain_delay})") { |v| self.drain_delay = v }
        o.on("--grace S", Float, "seconds from TERM until KILL (#{grace})") { |v| self.grace = v }
        o.on("--requests N", Integer, "make at least so many requests (#{requests})") { |v| self.requests = v }
        o.on("--rate N", Float, "requests per second of all clients together (#{rate})") { |v| self.rate = v }
        o.on("--json", "print the result as JSON") { self.json = true }
        o.on("-q", "--quiet", "no progress") { self.quiet = true }
      end
    end
  end
end
