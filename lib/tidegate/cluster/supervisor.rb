# frozen_string_literal: true

# Has as many workers as there are to be: starts them, replaces them, sends them away, and waits for their ends.

require "socket"

module Tidegate
  class Supervisor
    include Enumerable

    # When so many workers in a row cannot boot and none serves, there is no point in going on.
    BOOT_FAILURES = 5

    # Seconds. A worker that ends sooner after its boot counts as one that could not boot.
    SETTLED = 1.0

    # Seconds until a worker may leave that was told to.
    CONSENT = 0.2

    # Why a worker is replaced, in the words of the log.
    REASONS = { phased: "phased restart", stuck: "a request is stuck" }.freeze

    # +parts+ are what the workers share. +legacy+ are the handles of the workers of the image before this one, which are replaced.
    def initialize(parts, legacy: [], phase: 0)
      @parts = parts
      @log = parts.log
      phase.times { cluster.begin_phase } # so that reports count on
      @nursery = Nursery.new(parts)
      @roster = Roster.new(configuration.workers, strategy: configuration.worker_culling_strategy, most: cluster.slots / 2)
      legacy.each { |worker| @roster.add(worker) }
      @roster.replace_all(:restart)
      @boots = Boots.new(BOOT_FAILURES)
      @status = 0
    end

    # 0, or 1 if a worker has not ended well since the cluster was told to stop, or none can boot.
    attr_reader :status

    def each(&) = @roster.to_a.each(&)

    # The sockets on which the workers speak.
    def sockets = @roster.filter_map(&:control)

    # Whether something is due soon.
    def waiting? = @boots.waiting? || any?(&:asked_for)

    # Whether no worker can boot.
    def given_up? = @given_up == true

    # Whether all workers of this image serve; true once.
    def complete?
      return false if @complete || count { |worker| worker.slot && worker.serving? } < @roster.indices.size

      @complete = true
    end

    # Starts the first workers. +others+ are descriptors of the master that no worker is to have.
    def begin(others)
      @others = others
      Native.adopt_orphans
      hook(:before_fork)
      Process.warmup if @parts.preloaded? && Process.respond_to?(:warmup)
      @roster.missing.each { |index| start(index) }
    end

    # ===== what the operator wants =====

    def add_worker
      return @log.error("there can be no more than #{cluster.slots / 2} workers; start the server with more") unless @roster.grow

      @log.info("one worker more: #{@roster.indices.size}")
    end

    def remove_worker
      return @log.info("one worker is left, and stays: TERM stops the server") unless @roster.shrink

      @log.info("one worker less: #{@roster.indices.size}")
    end

    def phased_restart
      cluster.begin_phase
      @log.info("phased restart: the workers are replaced one after the other")
      @roster.replace_all(:phased)
    end

    # Has the workers replaced by forks of one that is warm: +worker+, or the oldest. False if that cannot be now.
    def refork(worker = nil)
      return @log.error("a refork needs a preloaded app; a phased restart (USR1) replaces the workers") && false unless @parts.preloaded?

      if @candidate || any? { |each| each.serving? && each.replace_for }
        @log.info("no refork now: workers are being replaced") unless worker
        return false
      end
      worker ||= select(&:serving?).max_by(&:age)
      return false unless worker

      @log.info("refork: #{worker} becomes the mold of the next workers")
      @candidate = worker
      replace(worker, :refork)
    end

    def reopen_logs = each { |worker| worker.tell("L") }

    # Has a worker replaced, for a reason.
    def replace(worker, reason) = worker.serving? && (worker.replace_for ||= reason)

    # Has the program of this process replaced; the workers stay.
    def pass_to(image)
      @nursery.close
      image.wish(sockets: @parts.server.sockets, adoption: cluster.adoption, phase: cluster.begin_phase, ticket_keys: cluster.ticket_keys,
                 workers: select { |worker| (worker.serving? || worker.retiring?) && worker.control })
    end

    # ===== the end =====

    def stop_replacing
      @stopping = true
      @roster.give_up_replacing
    end

    # Passes a signal on to all, or tells them to stop without one. One that boots cannot read its socket yet; it may end at once.
    def pass_on(signal)
      each do |worker|
        signal ? worker.signal(signal) : worker.tell(WorkerHandle::STOP)
        worker.kill(:TERM) if worker.booting?
      end
    end

    def kill_all = each { |worker| worker.kill(:KILL) }

    # ===== workers that come and go =====

    # Starts, replaces and sends away what the roster says.
    def reconcile
      return if given_up?

      settle
      let_leave
      @roster.missing.each { |index| start(index) if @boots.due? }
      worker = @roster.next_to_replace
      start(worker.index, replaces: worker) if worker && @boots.due?
      @roster.surplus.each { |each| send_away(each) }
    end

    # Takes in what the workers have said, and returns what of that the operator wants.
    def hear(sockets)
      sockets.flat_map do |socket|
        worker = find { |each| each.control.equal?(socket) } or next []
        lines = worker.lines
        lines ? lines.filter_map { |line| heard(worker, line) } : deaf(worker)
      end
    end

    # Waits for the children that have ended. Yields those that are no workers.
    def reap
      while (pid, status = Process.wait2(-1, Process::WNOHANG))
        worker = find { |each| each.pid == pid }
        worker ? left(worker, WorkerEnd.new(status)) : yield(pid, status)
      end
    rescue Errno::ECHILD
      nil # there are none
    end

    # Ends a worker that is of no use. +reason+ is for the metrics.
    def kill(worker, sentence, reason = nil)
      return if worker.killed?

      @log.error("#{worker} #{sentence}, and is killed")
      cluster.count_restart(reason) if reason
      worker.replace_for = :killed
      worker.pid ? worker.kill(:KILL) : unborn(worker)
    end

    # A worker that serves leaves, and not because the master wants it.
    def leaves_by_itself(worker)
      @log.info("#{worker} was told to leave; another takes its place")
      cluster.count_restart(:asked)
      worker.state = :retiring
    end

    private

    def configuration = @parts.configuration

    def cluster = @parts.cluster

    # Lets workers leave that were told to, and not by the master. It waits a moment, because a signal to the process group reaches the
    # master too: then all of them drain, by the plan.
    def let_leave
      each { |worker| worker.retire if worker.asked_for&.>=(CONSENT) && leaves_by_itself(worker) }
    end

    # A boot has succeeded when the worker is still there after a while.
    def settle
      return if @newest.nil? || @newest.age < SETTLED

      @boots.succeeded if @newest.pid && !@newest.gone?
      @newest = nil
    end

    def start(index, replaces: nil)
      slot = cluster.reserve(index)
      return @log.error("no worker can be started: all #{cluster.slots} places are taken") unless slot

      hook(:before_worker_fork, index)
      worker = @nursery.fork(index, slot, [*@others, *sockets], replaces:)
      @roster.add(worker)
      hook(:after_worker_fork, index)
    rescue SystemCallError => error
      cluster.gone(slot)
      @boots.failed
      @log.error("no worker can be started: #{Fault.reason(error)}")
      give_up_if_hopeless
    end

    # Returns what the worker says for the operator; nil if it speaks of itself.
    def heard(worker, line)
      case line
      when /\Apid (\d+)\z/ then know(worker, $1.to_i)
      when "booted" then booted(worker)
      when "leave" then worker.asked
      when "retiring" then leaves_by_itself(worker) if worker.serving?
      when "mold" then worker.equal?(@candidate) ? cast(worker) : worker.signal(:TERM) # another image may have wanted it
      else return line
      end
      nil
    end

    # Only a worker that the mold has forked has to say its pid. It gets signals of the master's, who may be root where the worker is not:
    # so the process has to be one of ours.
    def know(worker, pid)
      return if worker.pid || !ours?(pid)

      worker.pid = pid
      cluster.spawned(worker.slot, pid)
    end

    def ours?(pid)
      pid != Process.pid && Process.getpgid(pid) == Process.getpgrp
    rescue SystemCallError
      false
    end

    # The mold has not forked the worker that it was told to fork.
    def unborn(worker)
      @nursery.kill_mold
      left(worker, WorkerEnd.new(nil))
    end

    # The worker has closed its end: its process ends, or was never forked by the mold.
    def deaf(worker)
      worker.pid ? worker.deafen : left(worker, WorkerEnd.new(nil))
      []
    end

    def booted(worker)
      return unless worker.booting?

      worker.state = :serving
      @newest = worker
      replaced = worker.replaces
      # In a drain both serve on by the plan; one that was killed has only not been waited for.
      send_away(replaced, worker) if replaced && !@stopping && !replaced.killed?
    end

    # Has a worker leave: +successor+ serves in its place, or it is one too many.
    def send_away(worker, successor = nil)
      return unless worker.serving?

      if successor
        reason = worker.replace_for || :phased # which was given up after the successor had begun to boot
        @log.info("worker #{worker.index}: pid #{successor.pid} serves in the place of pid #{worker.pid} (#{REASONS.fetch(reason, reason)})")
        cluster.count_restart(reason)
      end
      worker.kill(WorkerProcess::MOLD) if worker.equal?(@candidate)
      worker.retire
    end

    # A worker has become the mold: all others are replaced by its children.
    def cast(worker)
      @candidate = nil
      worker.state = :mold
      worker.replace_for = nil
      cluster.gone(worker.slot)
      @nursery.mold = worker
      cluster.begin_phase
      @roster.replace_all(:refork)
    end

    def left(worker, how)
      worker.lines&.each { |line| heard(worker, line) if line.start_with?("pid") }
      @roster.delete(worker)
      worker.deafen
      cluster.gone(worker.slot) if worker.slot && !worker.mold?
      hook(:after_worker_shutdown, worker)
      @candidate = nil if worker.equal?(@candidate)
      @stopping ? note(worker, how) : judge(worker, how)
      worker.state = :gone
    end

    # A worker that was told to end before it could hear of it has served nothing.
    def note(worker, how)
      @status = [@status, how.exit_status].max unless worker.booting? && how.told?
    end

    def judge(worker, how)
      case worker.state
      when :booting then boot_failed(worker, how)
      when :serving then crashed(worker, how)
      when :mold
        expected = @nursery.lost(worker)
        @log.error("the mold #{how}; the next workers are forked from the master") unless expected
      when :retiring then @log.error("#{worker} #{how} while it left") unless how.well? || worker.killed?
      end
    end

    def crashed(worker, how)
      @boots.failed if worker.age < SETTLED
      return if worker.killed?

      @log.error("#{worker} #{how}; another takes its place")
      cluster.count_restart(:crashed)
    end

    def boot_failed(worker, how)
      @boots.failed
      @log.error("#{worker} #{how} before it could serve") unless worker.killed?
      give_up_if_hopeless
    end

    # If other workers serve, they go on; without any there is no point in trying for ever.
    def give_up_if_hopeless
      return if given_up? || !@boots.hopeless?

      if none?(&:serving?)
        @log.error("#{BOOT_FAILURES} workers in a row could not boot, and none serves: the server ends")
        @given_up = true
        @status = 1
        each { |each| each.kill(:TERM) }
      elsif any?(&:replace_for)
        @roster.give_up_replacing
        @log.error("the workers are not replaced, as the new ones cannot boot; those that are there serve on")
      end
    end

    def hook(name, *arguments) = Hooks.new(name, configuration.public_send(name), @log).run(*arguments)
  end
end
