# frozen_string_literal: true

require "optparse"
require_relative "client"
require_relative "data_planes"
require_relative "kubelet"
require_relative "presets"
require_relative "scenario"

# What one run of bin/rollout is to do: every number with its default, and the command line that changes it.
module Rollout
  USAGE = <<~TEXT.chomp.freeze
    usage: bin/rollout [options]
           bin/rollout table [options]    every preset beside Puma
           bin/rollout shots [options]    single moments, without a roll
           bin/rollout --list             the data planes, scenarios and presets, in a few words each

  TEXT

  Settings = Struct.new(:server, :data_plane, :scenario, :preset, :pods, :workers, :rolls, :loop, :lag, :rtt, :drain_delay, :grace,
                        :prestop, :readiness, :readiness_period, :failure_threshold, :boot, :slow, :clients, :expected, :requests, :rate,
                        :svg, :json, :quiet, :tls, keyword_init: true) do
    # The defaults, but for what the preset says and for what is given.
    def self.with(**changes)
      preset = changes[:preset] ? Presets.find(changes[:preset]).settings : {}
      new(server: "tidegate", data_plane: "haproxy", scenario: "rolling", pods: 2, workers: 0, rolls: 1, loop: false, lag: 2.0, rtt: 0.0,
          drain_delay: 3.0, grace: 30.0, prestop: 0.0, readiness_period: 1.0, failure_threshold: 3, boot: 0.0, slow: 1.5,
          requests: 2000, rate: 260.0, json: false, quiet: false, tls: false, **preset, **changes)
    end

    def self.parse(argv)
      given = {}
      rest = parser(given).parse(argv)
      raise OptionParser::InvalidArgument, rest.first unless rest.empty?

      with(**given).validate.freeze
    end

    def self.parser(given)
      OptionParser.new(USAGE, 30) do |o|
        SettingsFlags.define(o, with, given)
      end
    end

    # Completed with what depends on the server.
    def for(kind)
      dup.tap { |it| it.server = kind.name }.tap do |it|
        it.readiness ||= it.tidegate? ? "/servingz" : "/"
        it.expected ||= it.tidegate? ? tidegate_outcomes : ["exit 0", "signal 15"]
      end.freeze
    end

    def tidegate? = server == "tidegate"

    # Whether clients speak HTTP/2.
    def http2? = Client::HTTP2_KINDS.map(&:slug).intersect?(Array(clients))

    # How Tidegate may end.
    def tidegate_outcomes = (preset && Presets.find(preset).expected) || ["exit 0"]

    # Whether it needs a network of its own.
    def apart? = rtt.positive? || DataPlanes::APART.include?(data_plane)

    def replicas = Scenario::ONE_REPLICA.include?(scenario) ? 1 : pods

    # The readiness probe. Tidegate's own paths are its admin listener's, any other is the app's.
    def check
      Kubelet::Check.new(path: readiness, period: readiness_period, failure_threshold:,
                         admin: tidegate? && %w[/livez /readyz /servingz /startupz].include?(readiness))
    end

    # Raises what is wrong with it.
    def validate
      complaint =
        if tls && !tidegate? then "only Tidegate's pods speak TLS here"
        elsif http2? && !(tidegate? && DataPlanes::OPAQUE.include?(data_plane))
          "only Tidegate speaks HTTP/2 here, behind #{DataPlanes::OPAQUE.join(" or ")}"
        elsif !pods.between?(1, 7) || (pods < 2 && %w[scale-down].include?(scenario)) then "a run needs 1 to 7 pods, scaling down 2"
        elsif (strangers = Array(clients) - Client.slugs).any? then "no kind of client: #{strangers.join(', ')}"
        elsif !workers.between?(0, 16) then "a pod has 0 to 16 workers"
        elsif rolls < 1 || !rate.positive? then "a run needs at least 1 roll and a rate"
        elsif [lag, rtt, drain_delay, grace, prestop, boot, slow].any?(&:negative?) then "no time is negative"
        elsif !(readiness_period.positive? && failure_threshold.positive?) then "a probe needs a period and a threshold"
        end
      raise OptionParser::InvalidArgument, complaint if complaint

      self
    end
  end

  # The command line of the settings.
  module SettingsFlags
    def self.define(parser, defaults, given)
      flag = lambda do |*arguments, key|
        parser.on(*arguments) { |value| given[key] = value }
      end
      what(flag, defaults)
      cluster(flag, defaults)
      load(flag, defaults)
    end

    def self.what(flag, d)
      flag.("--server NAME|CMD", "tidegate, puma, puma8, or a command with {host} and {port}, or {addr}, and {app} (#{d.server})",
            :server)
      flag.("--preset NAME", Presets.names, "#{Presets.names.join(', ')}: a scenario of the specification, changed by what else is given",
            :preset)
      flag.("--data-plane NAME", DataPlanes::NAMES.keys, "#{DataPlanes::NAMES.keys.join(', ')} (#{d.data_plane})", :data_plane)
      flag.("--scenario NAME", Scenario::NAMES.keys, "#{Scenario::NAMES.keys.join(', ')} (#{d.scenario})", :scenario)
      flag.("--pods N", Integer, "server processes behind the load balancer, 1 to 7 (#{d.pods})", :pods)
      flag.("--workers N", Integer, "worker processes of each, by WEB_CONCURRENCY; 0: a single process (#{d.workers})", :workers)
      flag.("--rolls N", Integer, "how often pods are replaced (#{d.rolls})", :rolls)
      flag.("--loop", "again and again, until the requests are made", :loop)
    end

    def self.cluster(flag, d)
      flag.("--lag S", Float, "seconds until the load balancer hears of a change (#{d.lag})", :lag)
      flag.("--tls", "clients encrypt, and a proxy does towards the pods as well", :tls)
      flag.("--rtt S", Float, "round trip between clients and pods, in seconds; needs root (#{d.rtt})", :rtt)
      flag.("--drain-delay S", Float, "given to Tidegate, or a command's {drain_delay} (#{d.drain_delay})", :drain_delay)
      flag.("--grace S", Float, "seconds from the deletion until KILL (#{d.grace})", :grace)
      flag.("--prestop S", Float, "seconds that a preStop hook sleeps before TERM (#{d.prestop})", :prestop)
      flag.("--readiness PATH", "of the readiness probe (/servingz; / of other servers)", :readiness)
      flag.("--readiness-period S", Float, "seconds between two probes (#{d.readiness_period})", :readiness_period)
      flag.("--failure-threshold N", Integer, "bad answers that make a pod unready (#{d.failure_threshold})", :failure_threshold)
      flag.("--boot S", Float, "seconds before a new pod's process is started (#{d.boot})", :boot)
    end

    def self.load(flag, d)
      flag.("--clients LIST", Array, "only these kinds of clients, by their names, with commas between", :clients)
      flag.("--slow S", Float, "seconds that the slow response takes (#{d.slow})", :slow)
      flag.("--requests N", Integer, "make at least so many requests (#{d.requests})", :requests)
      flag.("--rate N", Float, "requests per second of all clients together (#{d.rate})", :rate)
      flag.("--svg FILE", "draw failures over time around the TERM into that file", :svg)
      flag.("--json", "print the result as JSON", :json)
      flag.("-q", "--quiet", "no progress", :quiet)
    end
  end
end
