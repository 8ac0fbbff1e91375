# frozen_string_literal: true

# A run as a page of text, and whether it was good.

module Chaos
  class Report
    # +facts+ are what was seen of the cluster.
    def initialize(settings, outcomes, facts)
      @settings = settings
      @outcomes = outcomes
      @facts = facts
    end

    def passed? = faults.empty?

    def to_s
      [heading, requests, *kinds(@outcomes.in_killed, "in flight in a killed worker"), *kinds(@outcomes.others, "OTHERS"), *details, *left,
       passed? ? "passed" : "FAILED: #{faults.join("; ")}"].join("\n")
    end

    private

    def heading
      what = @settings.restart ? "#{@settings.times} x #{@settings.restart}" : "#{@settings.kills} kills"
      "#{what}, #{@settings.workers} workers, #{@settings.rate.to_i} requests/s, round trip #{(@settings.rtt * 1000).round(1)} ms, " \
        "#{@facts[:seconds]} s, seed #{@settings.seed}"
    end

    def requests
      "requests: #{@outcomes.total}; failed: #{@outcomes.failures.size}, of which in flight in a killed worker: " \
        "#{@outcomes.in_killed.size}, others: #{@outcomes.others.size}"
    end

    def kinds(outcomes, title)
      counts = outcomes.map { |outcome| "#{outcome.client}: #{outcome.failure}" }.tally
      counts.sort_by { |name, count| [-count, name] }.map { |name, count| format("  %4d  %s (%s)", count, name, title) }
    end

    # When the first of the others failed, in seconds from the last kill before it.
    def details
      @outcomes.others.first(20).map do |outcome|
        kill = @outcomes.kills.reverse_each.find { |one| one.stopped_at <= outcome.ended_at }
        times = [outcome.began_at, outcome.ended_at].map { |time| kill ? format("%.3f", time - kill.stopped_at) : "-" }
        "        #{outcome.client}: #{outcome.failure}, port #{outcome.port.inspect}, began and ended #{times.join(" and ")} s after a kill"
      end
    end

    def left
      before, after = @facts.values_at(:before, :after)
      ["the master: #{@facts[:master_alive] ? "alive" : "GONE"}; orphans: #{@facts[:orphans].size}; connections left: #{@facts[:connections]}",
       "descriptors of the master: #{before[:descriptors].values.sum} before, #{after[:descriptors].values.sum} after#{difference}",
       "shared memory: #{before[:shared][:mappings]} mappings, #{before[:shared][:bytes]} bytes before, " \
       "#{after[:shared][:mappings]}, #{after[:shared][:bytes]} after; with a name: #{before[:named]}, #{after[:named]}",
       ("slow requests under way when the master was killed: #{@facts[:slow]} of #{Command::SLOW} answered" unless @settings.restart),
       "the end: #{@facts[:end]}", *@facts[:complaints]&.map { |line| "  said: #{line}" }].compact
    end

    def difference
      before, after = @facts.values_at(:before, :after).map { |footprint| footprint[:descriptors] }
      changed = (before.keys | after.keys).reject { |name| before[name] == after[name] }
      changed.empty? ? "" : " (#{changed.map { |name| "#{name} #{before[name].to_i} -> #{after[name].to_i}" }.join(", ")})"
    end

    def faults
      before, after = @facts.values_at(:before, :after)
      {
        "requests failed" => @outcomes.others.any?,
        "the master has gone" => !@facts[:master_alive],
        "orphans" => @facts[:orphans].any?,
        "connections are left" => @facts[:connections].positive?,
        "descriptors leak" => after[:descriptors].values.sum - after[:molds] > before[:descriptors].values.sum,
        "shared memory leaks" => after[:shared][:bytes] > before[:shared][:bytes] || after[:named] > before[:named],
        "slow requests were lost" => !@settings.restart && @facts[:slow].to_i < Command::SLOW,
        "processes are left" => @facts[:stayed].to_a.any?,
        "a bad end" => @settings.restart && @facts[:end] != "exit 0"
      }.filter_map { |fault, is| fault if is }
    end
  end
end
