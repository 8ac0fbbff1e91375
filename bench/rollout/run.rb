# frozen_string_literal: true

require_relative "data_planes"
require_relative "endpoint_controller"
require_relative "held"
require_relative "load"
require_relative "network"
require_relative "place"
require_relative "scenario"
require_relative "settings"
require_relative "tally"
require_relative "../support/certificate"

# One run: pods behind a data plane, clients in front of it, a scenario in the middle; and its result.
module Rollout
  # `turns` is how often the scenario's change was made, `overshoot` how much later than planned the data plane was told.
  Result = Struct.new(:settings, :tally, :endings, :counters, :seconds, :turns, :overshoot, keyword_init: true) do
    # How many failures are the server's and not the scenario's.
    def lost = tally.failed - unserved

    # How many failed because the scenario left no pod to serve them.
    def unserved = tally.failure_counts.sum { |(_, phase, kind), count| Deployment.unserved?(phase, kind) ? count : 0 }

    # Failures that are the server's, by kind and phase.
    def losses
      counts = tally.failure_counts.reject { |(_, phase, kind), _| Deployment.unserved?(phase, kind) }
      counts.group_by { |(_, phase, kind), _| "#{kind} (#{phase})" }.transform_values { |all| all.sum(&:last) }
    end

    def violations = endings.select(&:violation)

    # Nothing was lost, every pod ended as it should, and enough was asked for that to mean something.
    def passed? = lost.zero? && violations.empty? && tally.total >= settings.requests
  end

  class Run
    # The block is told what happens, one short sentence at a time.
    def initialize(settings, kind: Rig::Servers.find(settings.server), &say)
      @settings, @kind = settings.for(kind), kind
      @say = say || ->(_) {}
      @tally = Tally.new
    end

    attr_reader :tally

    # How pods have ended so far.
    def endings = @deployment ? @deployment.endings : []

    def call
      began_at = Rig.now
      build
      @deployment.begin(@settings.replicas)
      @say.call("#{@settings.replicas} pods of #{@kind.name} behind #{@settings.data_plane}")
      turns = under_load { Scenario.new(@deployment, tally: @tally, settings: @settings).run }
      Result.new(settings: @settings, tally: @tally, endings: @deployment.endings, counters: @data_plane.counters,
                 seconds: (Rig.now - began_at).round(1), turns:, overshoot: @endpoints.overshoot.round(2))
    ensure
      tear_down
    end

    private

    def build
      @place = Place.new(@settings.apart? ? Network.new(delay: @settings.rtt / 2) : nil)
      encrypt if @settings.tls
      @data_plane = DataPlanes.build(@settings.data_plane, place: @place, tidegate: @settings.tidegate?, certificate: @certificate)
      @prober = @place.apart? ? ProbeProcess.new(inside: @place.inside(:pods)) : Probe
      @endpoints = EndpointController.new(@data_plane, lag: @settings.lag) { |pods| @deployment.told(pods) }
      @deployment = Deployment.new(
        Deployment::Cluster.new(kind: @kind, settings: @settings, place: @place, prober: @prober, endpoints: @endpoints),
        tally: @tally, &@say
      )
    end

    # The pods have a certificate, and so has a proxy.
    def encrypt
      @certificate = Rig::Certificate.new
      @kind = @kind.dup
      @kind.command = @kind.command.map { |word| word == "tcp://{host}:{port}" ? @certificate.bind("{host}:{port}") : word }
    end

    # Whatever fails of it, the rest is done too.
    def tear_down
      [@deployment, @endpoints, @prober, @data_plane, @place, @certificate].compact.each do |part|
        part.stop
      rescue StandardError => error
        @say.call("could not stop all: #{error.message}")
      end
    end

    def under_load
      host, port = @data_plane.address
      held = Held.new(@tally)
      load = Load.new(host:, port:, rate: @settings.rate, inside: @place.inside(:clients), clients: @settings.clients,
                      tls: @settings.tls) { |outcome| held.add(outcome) }
      yield.tap { @tally.wait_for(@settings.requests, within: 60 + @settings.requests / @settings.rate) }
    ensure
      load&.stop
      held&.stop
    end
  end
end
