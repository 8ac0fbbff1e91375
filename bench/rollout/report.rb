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
      [title, "", *table(by_client), "", *failures, *endings, haproxy, "", verdict].join("\n") << "\n"
    end

    def to_json(*)
      JSON.pretty_generate(
        server: @result.settings.server, lag: @result.settings.lag, drain_delay: @result.settings.drain_delay,
        requests: @tally.total, failed: @tally.failed, passed: @result.passed?, seconds: @result.seconds,
        clients: @tally.clients.sort.to_h { |client| [client, client_numbers(client)] },
        failures: count_failures { |f| "#{f.kind} (#{f.phase})" },
        endings: @result.endings.map(&:to_h), counters: @result.counters
      )
    end

    private

    def title
      s = @result.settings
      "#{s.server}: #{s.rolls} of #{s.pods} pods replaced, lag #{s.lag} s, drain delay #{s.drain_delay} s, #{@result.seconds} s"
    end

    # One row per kind of client: failed/made in each phase.
    def by_client
      rows = @tally.clients.sort.map { |client| row(client, client:, slowest: format("%.0f ms", @tally.slowest(client) * 1000)) }
      [["clients (failed/requests)", *Tally::PHASES, "total", "slowest"], *rows, row("all", slowest: "")]
    end

    def row(name, slowest:, client: nil)
      phases = [*Tally::PHASES, nil].map { |phase| "#{@tally.failed(client:, phase:)}/#{@tally.requests(client:, phase:)}" }
      [name, *phases, slowest]
    end

    def table(rows)
      widths = rows.transpose.map { |column| column.map(&:length).max }
      rows.map do |first, *others|
        [first.ljust(widths.first), *others.zip(widths.drop(1)).map { |cell, width| cell.rjust(width) }].join("  ").rstrip
      end
    end

    def failures
      counts = count_failures { |f| [f.kind, f.phase, f.client] }
      counts.sort_by { |_, n| -n }.map { |(kind, phase, client), n| format("failed %5d  %s, %s, %s", n, kind, phase, client) }
    end

    def count_failures(&) = @tally.failures.group_by(&).transform_values(&:size)

    # How each pod ended, with the last thing it said.
    def endings
      @result.endings.flat_map do |ending|
        ["#{ending.pod}: #{ending.outcome}, #{ending.seconds} s after TERM#{', killed at the end of its grace' if ending.killed}",
         *ending.log.last(1).map { |line| "  #{line}" }]
      end
    end

    def haproxy = "#{@result.settings.data_plane}: #{@result.counters.map { |name, n| "#{name}=#{n}" }.join(' ')}"

    def verdict
      return "no request failed of #{@tally.total}" if @result.passed?
      return "only #{@tally.total} of #{@result.settings.requests} requests were made" if @tally.failed.zero?

      "#{@tally.failed} requests failed of #{@tally.total}"
    end

    def client_numbers(client)
      { requests: @tally.requests(client:), failed: @tally.failed(client:), slowest: @tally.slowest(client).round(4) }
    end
  end
end
