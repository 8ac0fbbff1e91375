# frozen_string_literal: true

require "json"
require_relative "tally"

# A result for people (a plain table) and for programs (JSON).
module Rollout
  class Report
    def initialize(result)
      @result = result
      @tally = result.tally
    end

    def to_s
      [title, "", *table(by_client), "", *failures, *endings, *counters, *lateness, "", verdict].join("\n") << "\n"
    end

    def to_json(*) = JSON.pretty_generate(to_h)

    # Everything that is known, in plain values; Chart draws from it too.
    def to_h
      { server: @result.settings.server, settings: @result.settings.to_h,
        requests: @tally.total, failed: @result.lost, unserved: @result.unserved, passed: @result.passed?, seconds: @result.seconds,
        clients: @tally.clients.sort.to_h { |client| [client, client_numbers(client)] },
        failures: @tally.failure_counts.map { |(client, phase, kind), count| { client:, phase:, kind:, count: } },
        first_failures: @tally.failures.map { |failure| { **failure.to_h, at: since_start(failure.at) } },
        phases: @tally.marks.map { |at, phase| { phase:, at: since_start(at) } },
        terms: @tally.terms, spans: @tally.spans.map(&:to_h), timeline: @tally.timeline.map(&:to_h),
        endings: @result.endings.map(&:to_h), counters: @result.counters, overshoot: @result.overshoot }
    end

    private

    def title
      s = @result.settings
      ["#{s.server} behind #{s.data_plane}, #{s.scenario} x #{@result.turns}, pods: #{s.replicas}, lag #{s.lag} s, " \
       "drain delay #{s.drain_delay} s", *("preStop #{s.prestop} s" if s.prestop.positive?),
       *("round trip #{s.rtt * 1000} ms" if s.rtt.positive?), "#{@result.seconds} s"].join(", ")
    end

    # One row per kind of client: failed/made in each phase, and how long the requests took.
    def by_client
      rows = @tally.clients.sort.map { |client| row(client, client:) + times(client) }
      [["clients (failed/requests)", *phases, "total", "p50", "p99", "slowest"], *rows, row("all") + ["", "", ""]]
    end

    def row(name, client: nil)
      [name, *[*phases, nil].map { |phase| "#{@tally.failed(client:, phase:)}/#{@tally.requests(client:, phase:)}" }]
    end

    # Those that are known, and any other that a scenario has.
    def phases = Tally::PHASES | @tally.marks.map(&:last)

    def times(client)
      latencies = @tally.latencies(client)
      [latencies.percentile(0.5), latencies.percentile(0.99), latencies.max].map { |seconds| milliseconds(seconds) }
    end

    def milliseconds(seconds) = format("%.#{seconds < 0.01 ? 1 : 0}f ms", seconds * 1000)

    def table(rows)
      widths = rows.transpose.map { |column| column.map(&:length).max }
      rows.map do |first, *others|
        [first.ljust(widths.first), *others.zip(widths.drop(1)).map { |cell, width| cell.rjust(width) }].join("  ").rstrip
      end
    end

    # The most frequent first.
    def failures
      @tally.failure_counts.sort_by { |key, count| [-count, key] }.map do |(client, phase, kind), count|
        format("failed %5d  %s, %s, %s", count, kind, phase, client)
      end
    end

    SHOWN = 5 # good endings; the wrong ones are all shown

    # How each pod ended, with the last thing it said.
    def endings
      wrong, good = @result.endings.partition(&:violation)
      more = good.size > SHOWN ? ["and #{good.size - SHOWN} more that ended as they should"] : []
      [*wrong, *good.first(SHOWN)].flat_map { |ending| ending_lines(ending) } + more
    end

    def ending_lines(ending)
      ["#{ending.pod}: #{ending.outcome}, #{ending.seconds} s after TERM#{", WRONG: #{ending.violation}" if ending.violation}",
       *ending.log.last(1).map { |line| "  #{line}" }]
    end

    # What the data plane itself counted, where it counts.
    def counters
      counters = @result.counters
      return [] if counters.nil? || counters.empty?

      ["#{@result.settings.data_plane}: #{counters.map { |name, n| "#{name}=#{n}" }.join(' ')}"]
    end

    TOLERATED = 0.25 # seconds

    # The lag is a part of the experiment: a longer one is another.
    def lateness
      late = @result.overshoot
      late && late > TOLERATED ? ["the load balancer was told up to #{late} s later than planned: this machine was busy"] : []
    end

    def verdict
      lost = @result.lost.zero? ? "no request failed of #{@tally.total}" : "#{@result.lost} requests failed of #{@tally.total}"
      wrong = @result.violations.size
      [lost, *("#{@result.unserved} more came while the scenario left no pod to serve" if @result.unserved.positive?),
       *("#{wrong} of #{@result.endings.size} pods ended wrongly" if wrong.positive?),
       *too_few].join("; ")
    end

    def too_few
      wanted = @result.settings.requests
      "only #{@tally.total} of #{wanted} requests were made" if @tally.total < wanted
    end

    def client_numbers(client)
      latencies = @tally.latencies(client)
      { requests: @tally.requests(client:), failed: @tally.failed(client:),
        by_phase: phases.to_h { |phase| [phase, @tally.requests(client:, phase:)] },
        p50: latencies.percentile(0.5).round(5), p99: latencies.percentile(0.99).round(5), slowest: latencies.max.round(5) }
    end

    # Times are those of a clock that means nothing elsewhere; in JSON they count from the first mark.
    def since_start(time) = (time - (@tally.marks.first&.first || time)).round(4)
  end
end
