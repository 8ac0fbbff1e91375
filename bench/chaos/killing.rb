# frozen_string_literal: true

# Kills workers of a cluster by SIGKILL at random moments, one after the other, and notes what each of them had.

module Chaos
  class Killing
    # Seconds between two kills.
    PAUSE = (0.1..1.0)

    # One signal to the master for so many kills.
    KILLS_PER_SIGNAL = 4

    # +signals+ are those that the master gets meanwhile.
    def initialize(cluster, outcomes, random, signals: [])
      @cluster = cluster
      @signals = signals
      @outcomes = outcomes
      @random = random
    end

    # Yields after each kill.
    def run(count)
      count.times do
        sleep(@random.rand(PAUSE))
        kill_one
        @cluster.signal(@signals.sample(random: @random)) if @signals.any? && @random.rand(KILLS_PER_SIGNAL).zero?
        yield
      end
    end

    private

    # Any worker, also one that boots, as long as another serves: without one there is nobody to take what comes.
    def kill_one
      pid = @cluster.await("two workers", within: 60) { (pids = @cluster.pids).size > 1 && @cluster.serving.any? && pids.sample(random: @random) }
      stopped_at = Rig.now
      Process.kill(:STOP, pid) # what it has is counted while it stands still
      @cluster.await("worker #{pid} to stand still", within: 10) { %w[T X Z].include?(Processes.state(pid)) }
      ports = Processes.client_ports(pid, @cluster.port)
      Process.kill(:KILL, pid)
      @cluster.await("worker #{pid} to die", within: 10) { !Processes.alive?(pid) }
      @outcomes.kill(pid, stopped_at, Rig.now, ports)
    rescue Errno::ESRCH
      retry # it has left by itself
    end
  end
end
