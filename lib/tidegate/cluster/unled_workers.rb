# frozen_string_literal: true

# The workers of an image that has been replaced, where a signal ends its successor before that leads them, or comes just before it takes
# over. They get the signal, and are waited for, so that what they have in flight is finished: in a container they would be killed with
# this process.

module Tidegate
  class UnledWorkers
    # Seconds between two looks.
    LOOK = 0.05

    # The plan where it is not known yet.
    PLAN = { budget: nil, drain_delay: 0.0, shutdown_timeout: 30.0 }.freeze
    private_constant :LOOK, :PLAN

    # +legacy+ is what Image.legacy returns. +signals+ has those that come meanwhile.
    def initialize(legacy, signals, log)
      @workers = Image.workers(legacy).fetch(:legacy, [])
      @signals = signals
      @log = log
      @status = 0
    end

    # Has them do what a server does on the signal of that name, and waits for them. Returns 0, or 1 where one has not ended well.
    # Those that are still there when the time of +plan+ is over are killed.
    def finish(name, plan = nil)
      return 0 if @workers.empty?

      @signals.hold
      @log.info("SIG#{name} came before the new image led the workers: they finish what they have")
      drain = ClusterDrain.new(plan || PLAN)
      pass_on(name)
      until @workers.empty?
        @signals.take.each { |later| pass_on(later) }
        @workers.each { |worker| worker.kill(:KILL) } if drain.over?
        @workers.reject! { |worker| ended?(worker) }
        sleep(LOOK)
      end
      @status
    end

    private

    def pass_on(name) = @workers.each { |worker| worker.signal(name.to_sym) }

    def ended?(worker)
      _, status = Process.wait2(worker.pid, Process::WNOHANG)
      return false unless status

      @status = [@status, WorkerEnd.new(status).exit_status].max
      true
    rescue Errno::ECHILD
      true
    end
  end
end
