# frozen_string_literal: true

# The master of a cluster: waits for signals, for what the workers say and for their ends, and has the Supervisor do what follows. It
# serves nothing itself, and has neither a runtime nor a thread that a fork would miss. In a container it is process 1.

module Tidegate
  class Master
    # Seconds between two looks at the workers, and while something is due soon.
    TICK = 1.0
    SOON = 0.1

    # Seconds that a signal which stops the cluster may wait for a hook of the master's.
    HELD_UP = 2.0

    # Signals of the master alone, beside those that stop a server, and what they ask for.
    # HUP is among them where it does not say that a terminal has gone.
    STEERING = { "HUP" => "reopen-log", "USR1" => "phased-restart", "USR2" => "restart", "URG" => "refork", "TTIN" => "worker-count-up",
                 "TTOU" => "worker-count-down", "CHLD" => nil }.freeze

    # What a worker may pass on from the admin listener.
    COMMANDS = STEERING.each_value.to_a.compact.freeze

    # +supervisor+ has the workers, +parts+ are what they share, and +image+ is the program that runs.
    def initialize(supervisor, parts, signals:, image:, restart_file: nil, systemd: nil)
      @supervisor = supervisor
      @parts = parts
      @log = parts.log
      @signals = signals
      @image = image
      @restart_file = restart_file
      @systemd = SystemdTurns.new(systemd)
      @checkup = Checkup.new(supervisor, parts)
      @asked = []
      @bell, @ringer = IO.pipe
      @signalled = Queue.new
    end

    # Yields when all workers serve. Returns the exit status.
    def run(&)
      @previous = steering.to_h { |name, wish| [name, Signal.trap(name) { ring(wish) }] }
      @main = Thread.current
      @insistent = insistent
      @signals.hand_over(self) { nil } # they ring, and are seen to in their turn
      Thread.handle_interrupt(Hooks::HeldUp => :never) do
        @supervisor.begin([@bell, @ringer])
        lead(&) until over?
      end
      end_trial(:KILL)
      conclude if @drain
      @supervisor.status
    ensure
      @insistent&.kill
      @previous&.each { |name, handler| Signal.trap(name, handler || "DEFAULT") }
    end

    # A signal that stops a server. Called in a trap.
    def signal(name)
      ring(name)
      @signalled << name
    end

    # As a Server has it: the traps of the launcher are the only ones here.
    def ignore_signals; end

    private

    def configuration = @parts.configuration

    def lead
      turn
      return unless @supervisor.complete?

      yield
      expect_requests
      @systemd.ready(@parts.server.sockets.map(&:first))
    end

    # The process ends in time also where after_stopped or an at_exit block does not return.
    def conclude
      exit_within(@drain.left, @supervisor.status)
      @parts.server.conclude_cluster(@parts.cluster, @drain.age, @supervisor.status)
    end

    def exit_within(seconds, status)
      Native.exit_within(seconds, status) if @signals.installed?
    end

    # The thread that sees to it that signals are heard; a fork does without it. There is none where the system starts no more.
    def insistent
      return unless Native.threads_start?(1)

      Thread.new { insist while @signalled.pop }.tap { |thread| thread.name = "tidegate signals" }
    rescue ThreadError
      nil
    end

    # A hook that does not return keeps the master from all else. Where that keeps a signal waiting, the hook is given up, and where
    # that does not help either, the process ends when its time is over: its workers see that, and finish what they have.
    def insist
      sleep(HELD_UP)
      return if @asked.none?(Symbol)

      exit_within(ClusterDrain.new(@parts.server.plan).left, 1)
      while @asked.any?(Symbol)
        @main.raise(Hooks::HeldUp, "a signal waits") if Hooks.of(@main)
        sleep(SOON)
      end
    end

    def steering = @signals.names&.include?(:HUP) ? STEERING.except("HUP") : STEERING

    def over? = passed? || (@supervisor.none? && (@drain || @supervisor.given_up?))

    # Whether the workers are left to the new image. A signal that came meanwhile is for this one.
    def passed?
      return false unless @image.wished?

      @image.stay if @asked.any?(Symbol)
      @image.wished?
    end

    # Runs in a trap.
    def ring(wish)
      return if @ringer.closed? # a child that was just forked, before it has its own traps

      @asked << wish if wish
      @ringer.write_nonblock(".", exception: false)
    end

    # Waits until something happens, and sees to it.
    def turn
      ready, = IO.select([@bell, *@supervisor.sockets], nil, nil, pause)
      ready = Array(ready)
      @bell.read_nonblock(64, exception: false) if ready.delete(@bell)
      @asked.concat(@supervisor.hear(ready))
      carry_out(@asked.shift) until @asked.empty?
      @supervisor.reap { |pid, status| trial_over(status) if @trial == pid }
      @drain ? kill_the_late : look_after
      @systemd.turn(stopping: !@drain.nil?)
    end

    def pause = @drain || @supervisor.waiting? ? SOON : TICK

    # A Symbol is a signal that stops a server; text is a wish of the operator's.
    def carry_out(wish)
      case wish
      when Symbol then stop(wish)
      when "drain" then stop(:TERM)
      when "halt" then 2.times { stop(:INT) }
      when "reopen-log" then reopen_logs
      else steer(wish) unless @drain
      end
    end

    def steer(wish)
      case wish
      when "phased-restart" then phased_restart
      when "restart" then restart_image
      when "refork" then @supervisor.refork
      when "worker-count-up" then @supervisor.add_worker
      when "worker-count-down" then @supervisor.remove_worker
      end
    end

    # ===== the end =====

    # Passes a signal on to all at the same moment, or without one their end.
    def stop(signal = nil)
      @drain ||= ClusterDrain.new(@parts.server.plan).tap { @supervisor.stop_replacing }
      end_trial
      @supervisor.pass_on(signal)
    end

    def kill_the_late
      @supervisor.kill_all if @drain.over?
    end

    # ===== while it serves =====

    # From the moment in which all workers serve, so that a long boot does not count.
    def expect_requests
      @idle = configuration.idle_timeout&.then { |seconds| IdleStop.new(seconds, @log) { IdleStop.figures(@parts.cluster.workers) } }
    end

    def look_after
      now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      if @looked.nil? || now - @looked >= TICK / 2
        @looked = now
        @checkup.look
        end_trial(:KILL) if @trial && now - @tried_at > (configuration.worker_boot_timeout || Float::INFINITY)
        restart_image(@restart_file.to_s) if @restart_file&.touched?
        return stop if @idle&.tells_end?
      end
      @tried ? replace_when_booted : @supervisor.reconcile
    end

    # Reopens the files of the log, here and in the workers, which look at the files of certificates too.
    def reopen_logs
      redirect = @parts.redirect
      return @log.info(OtherSignals::SENTENCES.fetch("HUP")) unless redirect || configuration.tls?

      @log.info("SIGHUP: the files of certificates are looked at anew") if configuration.tls?
      return @supervisor.reopen_logs unless redirect

      @systemd.reloading("opening the log files anew") unless @drain
      @log.info("SIGHUP: the log files are opened anew") if redirect.reopen
      @supervisor.reopen_logs
      @systemd.ready(@parts.server.sockets.map(&:first)) unless @drain
    end

    # Has the workers replaced one after the other, so that they load the app anew. A preloaded app is in the master, which has to be
    # another image for that.
    def phased_restart
      @parts.preloaded? ? restart_image("the app is preloaded, so that the master is replaced too") : @supervisor.phased_restart
    end

    def restart_image(reason = nil)
      return @log.error("cannot restart: it is not known how this process was started") unless @image.known?
      return @log.info("a restart is under way already#{": process #{@trial} tries the new image" if @trial}") if @trial || @tried

      how = @image.tries? ? "the new image is tried first, and the workers serve on" : "the workers serve on until those of the new image do"
      @log.info("restarting#{": #{reason}" if reason}; #{how}")
      @tried_at = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      @tried = (@trial = @image.try).nil?
    rescue Error => error
      @log.error(error.message)
    end

    def trial_over(status)
      @trial = nil
      return if @drain
      return @log.error("the new image #{WorkerEnd.new(status)} in its trial boot: nothing is restarted") unless status.success?

      @tried = true
    end

    # A worker that boots would take the end of this image for the end of the cluster; no other is started meanwhile.
    def replace_when_booted
      return if @supervisor.any?(&:booting?)

      Hooks.new(:before_restart, configuration.before_restart, @log).run
      @supervisor.pass_to(@image) if @asked.none?(Symbol)
    end

    def end_trial(signal = :TERM)
      Process.kill(signal, @trial) if @trial
    rescue Errno::ESRCH
      nil
    end
  end
end
