# frozen_string_literal: true

require_relative "../rollout/load"
require_relative "cluster"
require_relative "killing"
require_relative "outcomes"
require_relative "replacing"
require_relative "report"
require_relative "settings"

# bench/chaos/run: a cluster under the load of the rollout's clients, whose workers are killed or replaced.
module Chaos
  class Command
    # Requests before the first act and after the last.
    STEADY = 300

    # Seconds in which the workers have to leave once the master was killed: their drain, and then some.
    LEAVE = 30

    # Slow requests that are under way when the master is killed.
    SLOW = 8

    def initialize(argv)
      @settings = Settings.parse(argv)
      @outcomes = Outcomes.new
      @facts = {}
    end

    # The exit status: 0 if only requests of killed workers failed, and nothing was left behind.
    def call
      @cluster = Cluster.new(@settings.workers, arguments, rtt: @settings.rtt) { |line| heard(line) }
      @cluster.ready!
      before = footprint
      under_load { act }
      look(before)
      @settings.restart ? end_in_order : kill_master
      report = Report.new(@settings, @outcomes, @facts)
      puts report
      report.passed? ? 0 : 1
    ensure
      @cluster&.tear_down
    end

    private

    def arguments = @settings.restart ? Replacing::ARGUMENTS.fetch(@settings.restart) : []

    def heard(line)
      warn line if @settings.verbose
      (@facts[:complaints] ||= []) << line if line.match?(/panic|BUG|cannot|all \d+ places/)
    end

    def under_load
      load = Rollout::Load.new(host: @cluster.host, port: @cluster.port, rate: @settings.rate, inside: @cluster.inside(:clients),
                               clients: @settings.clients) { |outcome| @outcomes.add(outcome) }
      steady
      yield
      steady
    ensure
      load&.stop
    end

    def steady
      @outcomes.wait_for_more(STEADY, within: 60) or raise Rig::Unavailable, "the clients have stopped asking"
    end

    def act
      began_at = Rig.now
      random = Random.new(@settings.seed)
      if @settings.restart
        Replacing.new(@cluster, @settings.restart, random).run(@settings.times) { progress }
      else
        Killing.new(@cluster, @outcomes, random, signals: @settings.signals).run(@settings.kills) { progress }
      end
      @facts[:seconds] = (Rig.now - began_at).round
    end

    def progress
      @done = @done.to_i + 1
      warn "#{@done}: #{@outcomes.total} requests, #{@outcomes.in_killed.size} lost with a killed worker, #{@outcomes.others.size} others failed"
    end

    # ===== what is left behind =====

    def footprint
      pid = @cluster.pid
      { descriptors: Processes.descriptors(pid), molds: @cluster.molds, shared: Processes.shared_memory(pid), named: Processes.named_memory }
    end

    def look(before)
      @facts[:master_alive] = @cluster.alive?
      @cluster.complete
      @facts[:orphans] = @cluster.orphans
      @facts[:connections] = left_connections
      @facts[:before] = before
      @facts[:after] = footprint
    end

    # Connections without a client any more are closed at once; none may be left in a queue between workers.
    def left_connections
      @cluster.await("the connections to end", within: 10) { Processes.connection_count(@cluster.pid, @cluster.port).zero? }
      0
    rescue Rig::Unavailable
      Processes.connection_count(@cluster.pid, @cluster.port)
    end

    # ===== the end =====

    def end_in_order
      @facts[:end] = @cluster.stop
    end

    # What is under way is answered, and no process is left.
    def kill_master
      killed_at = nil
      answers = @cluster.get("/slow", count: SLOW) do
        killed_at = Rig.now
        @cluster.signal(:KILL)
      end
      @facts[:slow] = answers.scan("HTTP/1.1 200").size
      @cluster.await("the workers to leave", within: LEAVE) { Processes.group(@cluster.pid).empty? }
      @facts[:end] = "all gone #{(Rig.now - killed_at).round(1)} s after KILL to the master"
    rescue Rig::Unavailable => error
      @facts[:end] = error.message
      @facts[:stayed] = Processes.group(@cluster.pid)
    end
  end
end
