# frozen_string_literal: true

require_relative "style"

# One result in the picture: a bar for each tenth of a second, the failed part of it in red, over the phases of the roll.
module Rollout
  class Chart
    class Panel
      LEFT = 64
      RIGHT = 936
      HEIGHT = 216 # of all of it
      ROOM = 40 # above the bars, for the name and the words
      PLOT = 132 # of the bars
      BIN = 0.1 # seconds
      VISIBLE = 3 # pixels that a single failure has at least

      # `range` are the seconds to show, `highest` the most requests in a bin.
      def initialize(result, range:, top:, highest:)
        @result, @range, @top, @highest = result, range, top, highest
      end

      def to_svg = [*phases, *grid, *bars, *axes, *words].join("\n")

      private

      def base = @top + ROOM + PLOT

      def x(seconds) = (LEFT + (RIGHT - LEFT) * (seconds - @range.begin) / (@range.end - @range.begin).to_f).round(2)

      def y(count) = (base - height(count)).round(2)

      def height(count) = (PLOT * count / scale.to_f).round(2)

      # The top of the axis: a round number above the highest bar.
      def scale
        @scale ||= begin
          digit = 10**Math.log10(@highest).floor
          [1, 2, 5, 10].map { |factor| factor * digit }.find { |round| round >= @highest }
        end
      end

      def phases
        @result[:spans].filter_map do |span|
          from, to = [span[:from], span[:to]].map { |at| at.clamp(@range.begin, @range.end) }
          next if to <= from

          %(<rect class="#{Style.phase(span[:phase])}" x="#{x(from)}" y="#{@top + ROOM}" width="#{(x(to) - x(from)).round(2)}" height="#{PLOT}"/>)
        end
      end

      def grid
        [0.5, 1].map { |part| %(<line class="grid" x1="#{LEFT}" x2="#{RIGHT}" y1="#{y(scale * part)}" y2="#{y(scale * part)}"/>) }
      end

      def bars
        shown = @result[:timeline].select { |bin| bin[:at] >= @range.begin && bin[:at] < @range.end }
        shown.flat_map { |bin| bar(bin) }
      end

      # The failed part is below, and never so low that it cannot be seen.
      def bar(bin)
        failed = bin[:failures].positive? ? [height(bin[:failures]), VISIBLE].max : 0
        good = [height(bin[:requests]) - failed, 0].max
        [(column("ok", bin, failed, good) if good.positive?), (column("failed", bin, 0, failed) if failed.positive?)].compact
      end

      def column(name, bin, from, height)
        width = (x(bin[:at] + BIN) - x(bin[:at])) * 0.86
        %(<rect class="#{name}" x="#{x(bin[:at])}" y="#{(base - from - height).round(2)}" width="#{width.round(2)}" height="#{height.round(2)}"/>)
      end

      def axes
        [%(<line class="axis" x1="#{LEFT}" x2="#{RIGHT}" y1="#{base}" y2="#{base}"/>),
         %(<line class="term" x1="#{x(0)}" x2="#{x(0)}" y1="#{@top + ROOM - 4}" y2="#{base}"/>),
         *seconds, *counts]
      end

      # A number every second, or every few when there are many.
      def seconds
        step = @range.end - @range.begin > 16 ? 2 : 1
        @range.select { |second| (second % step).zero? }.flat_map do |second|
          [%(<line class="axis" x1="#{x(second)}" x2="#{x(second)}" y1="#{base}" y2="#{base + 4}"/>),
           label(x(second), base + 17, second.zero? ? "TERM" : format("%+d", second), anchor: "middle")]
        end
      end

      def counts = [0, 0.5, 1].map { |part| label(LEFT - 8, y(scale * part) + 4, format("%g", scale * part), anchor: "end") }

      def words
        failed, requests, terms = @result.values_at(:failed, :requests, :terms)
        verdict = "#{failed} of #{requests} requests failed#{", #{terms} TERMs together" if terms > 1}"
        [%(<text class="name" x="#{LEFT}" y="#{@top + 24}">#{Style.escape(@result[:server])}</text>),
         %(<text class="label#{' bad' if failed.positive?}" x="#{RIGHT}" y="#{@top + 24}" text-anchor="end">#{verdict}</text>),
         %(<text class="label" transform="translate(18 #{base - (PLOT / 2)}) rotate(-90)" text-anchor="middle">per 100 ms</text>)]
      end

      def label(x, y, text, anchor:) = %(<text class="label" x="#{x}" y="#{y}" text-anchor="#{anchor}">#{text}</text>)
    end
  end
end
