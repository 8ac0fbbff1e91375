# frozen_string_literal: true

require_relative "probe"
require_relative "readiness"

# The kubelet of one pod: asks whether it is ready, tells the endpoint controller, and ends it: preStop, TERM, KILL.
# Its liveness probe would stop at the deletion; no scenario has a reason for one, so there is none.
module Rollout
  class Kubelet
    # How a pod ended: the words for people, the seconds from TERM to the end and from the deletion to the end, whether
    # it was killed, what is wrong with that (nil: nothing), and what the pod said in its life.
    Ending = Struct.new(:pod, :outcome, :seconds, :since_deletion, :killed, :violation, :log, :ended_at)

    # A readiness probe: `admin` is whether it goes to Tidegate's admin listener.
    Check = Struct.new(:path, :admin, :period, :failure_threshold, keyword_init: true) do
      def port(pod) = admin ? pod.admin_port : pod.port
    end

    PROBE_TIMEOUT = 1.0

    attr_reader :pod, :deleted_at

    def initialize(pod, check:, prober:, endpoints:)
      @pod, @check, @prober, @endpoints = pod, check, prober, endpoints
      @readiness = Readiness.new(failure_threshold: check.failure_threshold)
      @first = Queue.new
      @thread = Thread.new { look_after }
      @thread.report_on_exception = false
    end

    # Waits until the pod has been found ready.
    def ready!(within: 30)
      return self if @first.pop(timeout: within)

      @thread.join(0.1) # raises what ended it
      raise Rig::Unavailable, "#{@pod.name} was not ready within #{within} s (#{@pod.outcome}): #{@pod.output.last(8).join(' | ')}"
    end

    # Begins the end. Returns at once.
    def delete(grace:, prestop:)
      @deleted_at = Rig.now
      @plan = Termination.new(deleted_at: @deleted_at, grace:, prestop:)
      @endpoints.deleted(@pod, at: @deleted_at)
      @end = Thread.new { terminate }
      @end.report_on_exception = false
    end

    # Waits for the end that the deletion began. `expected` are the outcomes that are right.
    def wait(expected:)
      killed = @end.value
      @thread.join
      violation = @plan.violation(@pod.outcome, ended_at: @pod.ended_at, killed:, expected:)
      Ending.new(@pod.name, @pod.outcome, (@pod.ended_at - @plan.term_at).round(2), (@pod.ended_at - @deleted_at).round(2),
                 killed, violation, @pod.output, @pod.ended_at)
    end

    def stop
      @pod.stop
      [@end, @thread].compact.each(&:join)
    end

    private

    def look_after
      @pod.ready!
      loop do
        changed = @readiness.record(good?)
        @endpoints.probed(@pod, serving: @readiness.ready?) if changed
        @first << true if changed && @readiness.ready?
        break if @pod.ended?(within: @readiness.ready? || @deleted_at ? @check.period : 0.05) # a startup probe is quicker
      end
      @endpoints.gone(@pod, at: @pod.ended_at)
    ensure
      @first.close
    end

    # As the kubelet sees it: any answer from 200 to 399.
    def good? = (200..399).cover?(@prober.get(@pod.host, @check.port(@pod), @check.path, within: PROBE_TIMEOUT))

    # Whether it had to be killed.
    def terminate
      @pod.ended?(within: @plan.term_at - Rig.now)
      @pod.signal(:TERM)
      killed = !@pod.ended?(within: @plan.kill_at - Rig.now)
      @pod.kill # and in any case reads its output to the end
      killed
    end
  end
end
