# frozen_string_literal: true

# A picture of a Sweep: p50 (dashed) and p99 of each server against the rate it was asked at, both axes logarithmic. An SVG
# that needs nothing else and can be read on a light and on a dark page.
module Comparison
  class Plot
    WIDTH = 860
    HEIGHT = 480
    LEFT, RIGHT, TOP, BOTTOM = 70, 640, 56, 420

    # On a light page, on a dark one.
    LINES = [%w[#0b62c4 #5aa9ff], %w[#c4390b #ff8a5c], %w[#2e7d32 #6fcf74], %w[#7b3fb3 #c79bf2], %w[#8a6d00 #e0bd3f], %w[#00707a #4fd0db]].freeze
    PAGE = { page: %w[#ffffff #0d1117], ink: %w[#1f2933 #e6edf3], faint: %w[#57606a #9aa7b4], grid: %w[#d8dee4 #2d353e] }.freeze

    # `points` by server, each with offered, p50 and p99.
    def initialize(title, points)
      raise ArgumentError, "nothing to plot" if points.empty? || points.values.any?(&:empty?)

      @title, @points = title, points
    end

    def to_svg
      <<~SVG
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 #{WIDTH} #{HEIGHT}" width="#{WIDTH}" height="#{HEIGHT}" role="img" aria-labelledby="title">
        <title id="title">#{escape(@title)}</title>
        <style>#{css}</style>
        <rect class="page" width="#{WIDTH}" height="#{HEIGHT}"/>
        <text class="heading" x="#{LEFT}" y="30">#{escape(@title)}</text>
        #{[*grid, *lines, *legend].join("\n")}
        <text class="label" x="#{(LEFT + RIGHT) / 2}" y="#{BOTTOM + 42}" text-anchor="middle">requests per second, by the clock</text>
        <text class="label" transform="translate(18 #{(TOP + BOTTOM) / 2}) rotate(-90)" text-anchor="middle">latency, ms</text>
        </svg>
      SVG
    end

    # The round numbers of an axis that has to hold these: 1, 2 and 5 times the powers of ten.
    def self.ticks(values)
      least, most = values.select(&:positive?).minmax
      least, most = 1, 1 unless least
      powers = (Math.log10(least).floor..Math.log10(most).ceil)
      all = powers.flat_map { |power| [1, 2, 5].map { |digit| digit * 10.0**power } }
      first = all.rindex { |tick| tick <= least * 1.000001 } || 0
      last = all.index { |tick| tick >= most * 0.999999 } || -1
      all[first..last].then { |ticks| ticks.size > 1 ? ticks : [ticks.first, ticks.first * 2] }
    end

    private

    def all = @points.values.flatten

    def loads = @loads ||= self.class.ticks(all.map(&:offered))

    def latencies = @latencies ||= self.class.ticks(all.flat_map { |point| [point.p50, point.p99] })

    def x(load) = place(load, loads, LEFT, RIGHT)

    def y(latency) = place(latency, latencies, BOTTOM, TOP)

    # Logarithmic between the first and the last tick; what is below (nought) is on the edge.
    def place(value, ticks, from, to)
      share = Math.log([value, ticks.first].max / ticks.first) / Math.log(ticks.last / ticks.first)
      (from + (to - from) * share).round(1)
    end

    def grid
      across = latencies.flat_map do |tick|
        [%(<line class="grid" x1="#{LEFT}" x2="#{RIGHT}" y1="#{y(tick)}" y2="#{y(tick)}"/>), label(LEFT - 8, y(tick) + 4, tick, "end")]
      end
      up = loads.flat_map do |tick|
        [%(<line class="grid" x1="#{x(tick)}" x2="#{x(tick)}" y1="#{TOP}" y2="#{BOTTOM}"/>), label(x(tick), BOTTOM + 18, tick, "middle")]
      end
      across + up
    end

    def label(x, y, tick, anchor) = %(<text class="label" x="#{x}" y="#{y}" text-anchor="#{anchor}">#{format('%g', tick)}</text>)

    def lines
      @points.each_with_index.flat_map do |(_, points), index|
        %i[p50 p99].map { |number| polyline(points, number, index) } +
          points.map { |point| %(<circle class="dot#{index}" cx="#{x(point.offered)}" cy="#{y(point.p99)}" r="2.5"/>) }
      end
    end

    def polyline(points, number, index)
      places = points.map { |point| "#{x(point.offered)},#{y(point[number])}" }.join(" ")
      %(<polyline class="line#{index} #{number}" points="#{places}"/>)
    end

    def legend
      @points.keys.each_with_index.flat_map do |server, index|
        top = TOP + 12 + index * 44
        %w[p99 p50].each_with_index.flat_map do |number, row|
          at = top + row * 18
          [%(<line class="line#{index} #{number}" x1="#{RIGHT + 20}" x2="#{RIGHT + 52}" y1="#{at - 4}" y2="#{at - 4}"/>),
           %(<text class="label" x="#{RIGHT + 60}" y="#{at}">#{escape(server)} #{number}</text>)]
        end
      end
    end

    def css
      shapes = "text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 12px; }\n" \
               ".heading { font-size: 16px; font-weight: 600; }\npolyline, line { fill: none; stroke-width: 2; }\n" \
               ".grid { stroke-width: 1; }\n.p50 { stroke-dasharray: 5 4; stroke-width: 1.5; }\n"
      "#{shapes}#{colours(0)}@media (prefers-color-scheme: dark) {\n#{colours(1)}}\n"
    end

    def colours(page)
      page_colours = PAGE.transform_values { |pair| pair[page] }
      servers = @points.keys.each_index.map do |index|
        colour = LINES[index % LINES.size][page]
        ".line#{index} { stroke: #{colour}; }\n.dot#{index} { fill: #{colour}; }\n"
      end
      ".page { fill: #{page_colours[:page]}; }\n.heading { fill: #{page_colours[:ink]}; }\n.label { fill: #{page_colours[:faint]}; }\n" \
        ".grid { stroke: #{page_colours[:grid]}; }\n#{servers.join}"
    end

    def escape(text) = text.to_s.encode(xml: :text)
  end
end
