# frozen_string_literal: true

require_relative "haproxy"
require_relative "load"
require_relative "rolling_update"
require_relative "settings"
require_relative "tally"

# One run: pods behind a data plane, clients in front of it, a rolling update in the middle; and its result.
module Rollout
  Result = Struct.new(:settings, :tally, :endings, :counters, :seconds, keyword_init: true) do
    # Nothing failed, and enough was asked for that to mean something.
    def passed? = tally.failures.empty? && tally.total >= settings.requests
  end

  class Run
    # The block is told what happens, one short sentence at a time.
    def initialize(settings, kind: Rig::Servers.find(settings.server), &say)
      @settings, @kind = settings, kind
      @say = say || ->(_) {}
      @tally = Tally.new
    end

    attr_reader :tally

    def call
      began_at = Rig.now
      @data_plane = HAProxy.new
      @update = RollingUpdate.new(@kind, data_plane: @data_plane, tally: @tally, settings: @settings, &@say)
      @update.deploy
      @say.call("#{@settings.pods} pods of #{@kind.name} behind haproxy, retries 0")
      under_load { @update.roll }
      Result.new(settings: @settings, tally: @tally, endings: @update.endings, counters: @data_plane.counters,
                 seconds: (Rig.now - began_at).round(1))
    ensure
      @update&.stop
      @data_plane&.stop
    end

    private

    def under_load
      host, port = @data_plane.address
      load = Load.new(host:, port:, rate: @settings.rate) { |outcome| @tally.add(outcome) }
      yield
      @tally.wait_for(@settings.requests, within: 60 + @settings.requests / @settings.rate)
    ensure
      load&.stop
    end
  end
end
