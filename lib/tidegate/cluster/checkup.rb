# frozen_string_literal: true

# Looks at each worker through the shared table and the clock, and has the Supervisor end or replace those that need it.

module Tidegate
  class Checkup
    # Seconds that a worker may take to leave beyond its own time, before it is killed.
    LENIENCE = 2.0

    # Seconds between two looks, beyond which it is the master that has stood still (Ctrl-Z, a container that was paused), and its
    # workers with it: a silence counts from then on.
    STANDSTILL = 3.0

    # +parts+ are a WorkerParts.
    def initialize(supervisor, parts)
      @supervisor = supervisor
      @parts = parts
      @reforks = 0
    end

    # Looks at all workers once.
    def look
      notice_standstill
      views = @parts.cluster.workers.to_h { |view| [view[:slot], view] }
      @supervisor.each { |worker| judge(worker, views[worker.slot] || {}) }
      refork_when_warm(views)
    end

    private

    def configuration = @parts.configuration

    def notice_standstill
      now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      @awake_since = now if @looked.nil? || now - @looked > STANDSTILL
      @awake_for = now - @awake_since
      @looked = now
    end

    def judge(worker, view)
      return judge_deaf(worker) if worker.deaf_for && worker.pid && !worker.retiring?

      case worker.state
      when :booting then judge_boot(worker)
      when :retiring then judge_leaving(worker)
      when :serving then judge_serving(worker, view)
      end
    end

    # A worker closes its end when it ends. One that goes on, because its app has closed all descriptors, cannot be told anything.
    def judge_deaf(worker)
      @supervisor.kill(worker, "has closed the socket to its master") if worker.deaf_for > LENIENCE
    end

    def judge_boot(worker)
      limit = configuration.worker_boot_timeout
      @supervisor.kill(worker, "has not booted within #{seconds(limit)} (worker_boot_timeout)") if limit && worker.age > limit
    end

    def judge_leaving(worker)
      limit = configuration.worker_shutdown_timeout
      return if worker.age <= limit + LENIENCE

      @supervisor.kill(worker, "has not left within #{seconds(limit)} (worker_shutdown_timeout)")
    end

    def judge_serving(worker, view)
      silent = view[:heartbeat_age]&.then { |age| [age, @awake_for].min }
      if silent && (limit = configuration.worker_timeout) && silent > limit
        @supervisor.kill(worker, "has given no sign of life for #{seconds(silent)} (worker_timeout)", :timeout)
      elsif view[:stuck].to_i.positive?
        @supervisor.replace(worker, :stuck)
      elsif worker.request_limit && view[:requests].to_i >= worker.request_limit
        @supervisor.replace(worker, :max_requests)
      elsif configuration.max_memory && view[:rss].to_i > configuration.max_memory
        @supervisor.replace(worker, :max_memory)
      end
    end

    # A refork is due when a worker has served so many requests: the first number for the first refork, the last for all others.
    def refork_when_warm(views)
      steps = Array(configuration.refork_after)
      limit = steps[@reforks] || steps.last or return
      warmest = @supervisor.select(&:serving?).max_by { |worker| requests(worker, views) }
      return unless warmest && requests(warmest, views) >= limit && @supervisor.refork(warmest)

      @reforks += 1
    end

    def requests(worker, views) = views.dig(worker.slot, :requests).to_i

    def seconds(number) = "#{number.round(1)} s"
  end
end
