# frozen_string_literal: true

require_relative "kubelet"
require_relative "pod"
require_relative "tally"

# The pods of one service, with what is done to them: started, deleted, waited for. Marks in the tally what the load
# balancer knows meanwhile. In which order things are done is a scenario's business.
module Rollout
  class Deployment
    ACCEPTS_EVERY = 0.02 # seconds between looks at whether any pod still accepts

    # The phase of the tally in which the scenario has left no pod to serve, whatever the server does.
    DOWN = "down"

    # Whether such a failure is what a request then meets: refused, or a proxy's word for that. What was accepted and then
    # lost is not among it; only behind the picker a reset may be either.
    def self.unserved?(phase, kind) = phase == DOWN && %w[refused reset 502 503].include?(kind)

    attr_reader :pods, :endings

    # `cluster` has what pods are started with: `kind`, `settings`, `place`, `prober` and `endpoints`.
    Cluster = Struct.new(:kind, :settings, :place, :prober, :endpoints, keyword_init: true)

    def initialize(cluster, tally:, &say)
      @cluster, @tally, @say = cluster, tally, say
      @settings, @endpoints = cluster.settings, cluster.endpoints
      @count = 0
      @pods, @leaving, @endings, @ending = [], [], [], []
    end

    # The first pods, side by side, with traffic at once.
    def begin(count)
      started = Array.new(count) { start }
      started.each(&:ready!)
      @endpoints.hurry
      routed(started)
    end

    # A new pod, not ready yet.
    def start
      @count += 1
      pod = Pod.new(@cluster.kind, count: @count, place: @cluster.place, settings: @settings)
      Kubelet.new(pod, check: @settings.check, prober: @cluster.prober, endpoints: @endpoints).tap { |kubelet| @pods << kubelet }
    end

    # A new pod that takes its time, as when its image has to be fetched, and is ready then.
    def add
      sleep(@settings.boot)
      start.ready!.tap { |fresh| @say.call("#{fresh.pod.name} is ready") }
    end

    # Their deletion; returns at once.
    def delete(*kubelets)
      @tally.mark(Tally::UNTOLD)
      @ending = kubelets.map(&:pod)
      @pods -= kubelets
      @leaving += kubelets
      kubelets.each { |kubelet| kubelet.delete(grace: @settings.grace, prestop: @settings.prestop) }
      @say.call("#{@ending.map(&:name).join(', ')} deleted")
    end

    # Waits for their end, and until the load balancer knows of it.
    def gone(*kubelets)
      kubelets.each { |kubelet| note(kubelet.wait(expected: @settings.expected)) }
      @leaving -= kubelets
      @endpoints.wait_until(within: @settings.lag + 10) { |pods| (pods & kubelets.map(&:pod)).empty? }
      @tally.mark(Tally::GONE) unless @tally.phase == DOWN
    end

    # Waits until they get traffic.
    def routed(kubelets)
      @endpoints.wait_until(within: @settings.lag + 10) { |pods| (kubelets.map(&:pod) - pods).empty? }
    end

    def settled
      @ending = []
      @tally.mark(Tally::STEADY)
    end

    # Told by the endpoint controller which pods get traffic now.
    def told(pods)
      return unless @ending.any? && (pods & @ending).empty?

      @tally.mark(Tally::TOLD)
      @say.call("the load balancer was told")
    end

    # Waits until none of them accepts connections: from the last one on no pod serves.
    def down(*kubelets)
      last = Rig.now
      while kubelets.any? { |kubelet| @cluster.prober.accepts?(kubelet.pod.host, kubelet.pod.port, within: 1.0) }
        last = Rig.now
        sleep(ACCEPTS_EVERY)
      end
      @ending = []
      @tally.mark(DOWN, at: [last, @tally.marks.last.first].max)
      @say.call("no pod accepts connections")
    end

    def stop = (@leaving + @pods).each(&:stop)

    private

    # Good endings lose what was said before their last lines, so that an hour of them fits into memory.
    def note(ending)
      ending.log = ending.log.last(20) unless ending.violation
      @endings << ending
      @say.call("#{ending.pod}: #{ending.violation || "#{ending.outcome} after #{ending.seconds} s"}")
    end
  end
end
