# frozen_string_literal: true

# What the turns say: the median of each number per server, and its ratio to the baseline, which is taken
# within each round and only then the median, because two rounds on a busy machine do not compare.
module Comparison
  class Summary
    COLUMNS = { rate: "req/s", p50: "p50 ms", p99: "p99 ms", cpu: "CPU us/req", rss: "RSS MiB", pss: "PSS MiB" }.freeze
    RATIOS = %i[rate cpu p99 pss].freeze
    DIGITS = { rate: 0, cpu: 1, p50: 2, p99: 2, rss: 1, pss: 1 }.freeze

    def initialize(turns, baseline:)
      @turns = turns.group_by(&:server)
      @baseline = baseline
    end

    def to_s
      head = ["", *COLUMNS.values, "errors", *RATIOS.map { |name| "#{name}/#{@baseline}" }]
      table([head, *@turns.keys.map { |server| [server, *medians(server), errors(server), *ratios(server)].map(&:to_s) }])
    end

    def to_h
      @turns.keys.to_h do |server|
        numbers = COLUMNS.keys.to_h { |name| [name, median(values(server, name)).round(3)] }
        [server, { **numbers, errors: errors(server), ratios: RATIOS.to_h { |name| [name, ratio(server, name).round(3)] },
                          rounds: @turns[server].map(&:to_h) }]
      end
    end

    # The median over the rounds of this server's number divided by the baseline's.
    def ratio(server, name)
      median(values(server, name).zip(values(@baseline, name)).map { |ours, theirs| ours / theirs })
    end

    def errors? = @turns.keys.any? { |server| errors(server).positive? }

    private

    def values(server, name) = @turns.fetch(server).sort_by(&:round).map { |turn| turn[name] }

    def medians(server) = COLUMNS.keys.map { |name| format("%.#{DIGITS[name]}f", median(values(server, name))) }

    def errors(server) = @turns.fetch(server).sum(&:errors)

    def ratios(server) = RATIOS.map { |name| format("%.2f", ratio(server, name)) }

    def median(numbers)
      sorted = numbers.sort
      (sorted[(sorted.size - 1) / 2] + sorted[sorted.size / 2]) / 2.0
    end

    def table(rows)
      widths = rows.transpose.map { |column| column.map(&:length).max }
      rows.map { |first, *rest| [first.ljust(widths.first), *rest.zip(widths.drop(1)).map { |c, w| c.rjust(w) }].join("  ") }.join("\n")
    end
  end
end
