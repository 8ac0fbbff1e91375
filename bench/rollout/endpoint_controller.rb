# frozen_string_literal: true

require_relative "../support/child"
require_relative "endpoints"

# The endpoint controller and what carries its word to the nodes: tells the data plane, a lag late, which pods get
# traffic. One thread, which sleeps until the next snapshot arrives.
module Rollout
  class EndpointController
    # The block is called after each change with the pods that get traffic now.
    def initialize(data_plane, lag:, &on_change)
      @data_plane, @on_change = data_plane, on_change
      @endpoints = Endpoints.new(lag:)
      @mutex = Mutex.new
      @changed = ConditionVariable.new
      @routed, @known = [], []
      @overshoot = 0.0
      @thread = Thread.new { work }
      @thread.report_on_exception = false
    end

    # How much later than the lag the data plane was told at the worst, in seconds: a machine that is busy with other things
    # is a worse cluster than was asked for.
    attr_reader :overshoot

    def probed(pod, serving:, at: Rig.now) = tell { @endpoints.probed(pod, serving:, at:) }
    def deleted(pod, at: Rig.now) = tell { @endpoints.deleted(pod, at:) }
    def gone(pod, at: Rig.now) = tell { @endpoints.gone(pod, at:) }

    # What is under way arrives at once, as before the first request of all.
    def hurry = tell { @endpoints.hurry(Rig.now) }

    # Waits until the pods that get traffic are such that the block is true of them.
    def wait_until(within:)
      limit = Rig.now + within
      @mutex.synchronize do
        until yield(@routed)
          raise @error if @error
          raise Rig::Unavailable, "the endpoints did not change within #{within.round} s" if Rig.now > limit

          @changed.wait(@mutex, limit - Rig.now)
        end
      end
    end

    def stop
      tell { @stopped = true }
      @thread.join
    end

    private

    def tell
      @mutex.synchronize do
        yield
        @changed.broadcast
      end
    end

    def work
      @mutex.synchronize do
        until @stopped
          snapshot = @endpoints.arrived(Rig.now)
          snapshot ? apply(snapshot) : @changed.wait(@mutex, time_to_next)
        end
      end
    rescue StandardError => error # raised again in the thread that waits for the endpoints
      tell { @error = error }
    end

    def time_to_next = @endpoints.next_at && [@endpoints.next_at - Rig.now, 0.0001].max

    # First what gets traffic, then what gets none: a change of pods never passes through having none.
    def apply(snapshot)
      wanted = Endpoints.chosen(snapshot)
      (wanted - @routed).each { |pod| @data_plane.route(pod) }
      (@routed - wanted).each { |pod| @data_plane.unroute(pod) }
      (@known - snapshot.keys).each { |pod| @data_plane.forget(pod) }
      changed = wanted != @routed
      @overshoot = [@overshoot, Rig.now - @endpoints.due].max if changed
      @routed, @known = wanted, snapshot.keys
      @on_change&.call(wanted) if changed
      @changed.broadcast
    end
  end
end
