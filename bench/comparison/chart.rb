# frozen_string_literal: true

require_relative "axis"

# A picture with lines, each with its name at its end. An SVG that needs nothing else and can be read on a light and on a dark page.
module Comparison
  class Chart
    WIDTH = 860
    HEIGHT = 480
    LEFT, RIGHT, TOP, BOTTOM = 72, 650, 56, 420
    # Between two names, one below the other.
    LINE = 15

    # On a light page, on a dark one.
    LINES = [%w[#0b62c4 #5aa9ff], %w[#c4390b #ff8a5c], %w[#2e7d32 #6fcf74], %w[#7b3fb3 #c79bf2], %w[#8a6d00 #e0bd3f], %w[#00707a #4fd0db]].freeze
    PAGE = { page: %w[#ffffff #0d1117], ink: %w[#1f2933 #e6edf3], faint: %w[#57606a #9aa7b4], grid: %w[#d8dee4 #2d353e] }.freeze

    # `points` are pairs of numbers, in the order of the first. Those of the same `group` have one colour; `dashed` tells two of them apart.
    Series = Struct.new(:name, :points, :group, :dashed, keyword_init: true)

    # `x` and `y` are what each axis is called, with its unit; a scale is :log, :linear or, for x, :values: what was measured, and nothing between.
    def initialize(title, series, x:, y:, x_scale: :log, y_scale: :log)
      raise ArgumentError, "nothing to draw" if series.empty? || series.any? { |one| one.points.empty? }

      @title, @series = title, series
      @groups = series.map(&:group).uniq
      @x = axis(x_scale, x, series.flat_map { |one| one.points.map(&:first) }, LEFT, RIGHT)
      @y = axis(y_scale, y, series.flat_map { |one| one.points.map(&:last) }, BOTTOM, TOP)
    end

    def to_svg
      <<~SVG
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 #{WIDTH} #{HEIGHT}" width="#{WIDTH}" height="#{HEIGHT}" role="img" aria-labelledby="title">
        <title id="title">#{escape(@title)}</title>
        <style>#{css}</style>
        <rect class="page" width="#{WIDTH}" height="#{HEIGHT}"/>
        <text class="heading" x="#{LEFT}" y="30">#{escape(@title)}</text>
        #{[*grid, *@series.flat_map { |one| line(one) }, *names].join("\n")}
        <text class="label" x="#{(LEFT + RIGHT) / 2}" y="#{BOTTOM + 42}" text-anchor="middle">#{escape(@x.label)}</text>
        <text class="label" transform="translate(18 #{(TOP + BOTTOM) / 2}) rotate(-90)" text-anchor="middle">#{escape(@y.label)}</text>
        </svg>
      SVG
    end

    # Where names go that should be at those places: in their order, far enough from each other, and within `least` and `most`.
    def self.spread(places, least:, most:, apart: LINE)
      order = places.each_index.sort_by { |index| places[index] }
      room = least - apart
      down = order.map { |index| room = [places[index], room + apart].max }
      # Those that were pushed beyond the end push the others back.
      room = most + apart
      up = down.reverse.map { |place| room = [place, room - apart].min }.reverse
      order.zip(up).sort.map(&:last)
    end

    private

    def axis(scale, label, values, from, to)
      case scale
      when :log then Axis.logarithmic(label, values, from:, to:)
      when :values then Axis.of(label, values, from:, to:)
      else Axis.linear(label, values, from:, to:)
      end
    end

    def grid
      across = @y.ticks.flat_map do |tick|
        at = @y.place(tick)
        [%(<line class="grid" x1="#{LEFT}" x2="#{RIGHT}" y1="#{at}" y2="#{at}"/>), label(LEFT - 8, at + 4, tick, "end")]
      end
      up = @x.ticks.flat_map do |tick|
        at = @x.place(tick)
        [%(<line class="grid" x1="#{at}" x2="#{at}" y1="#{TOP}" y2="#{BOTTOM}"/>), label(at, BOTTOM + 18, tick, "middle")]
      end
      across + up
    end

    def label(x, y, tick, anchor) = %(<text class="label" x="#{x}" y="#{y}" text-anchor="#{anchor}">#{Axis.text(tick)}</text>)

    def line(series)
      places = series.points.map { |x, y| [@x.place(x), @y.place(y)] }
      group = @groups.index(series.group)
      polyline = %(<polyline class="line#{group}#{' dashed' if series.dashed}" points="#{places.map { |place| place.join(',') }.join(' ')}"/>)
      dots = series.dashed ? [] : places.map { |x, y| %(<circle class="fill#{group}" cx="#{x}" cy="#{y}" r="2.5"/>) }
      [polyline, *dots]
    end

    # Beside the end of each line, or, where several ends meet, connected with it.
    def names
      ends = @series.map { |one| one.points.last.then { |x, y| [@x.place(x), @y.place(y)] } }
      self.class.spread(ends.map(&:last), least: TOP, most: BOTTOM).zip(ends, @series).flat_map do |at, (x, y), one|
        group = @groups.index(one.group)
        [%(<polyline class="line#{group} leader" points="#{x + 4},#{y} #{RIGHT + 14},#{at.round(1)} #{RIGHT + 20},#{at.round(1)}"/>),
         %(<text class="fill#{group}" x="#{RIGHT + 24}" y="#{(at + 4).round(1)}">#{escape(one.name)}</text>)]
      end
    end

    def css
      shapes = "text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 12px; }\n" \
               ".heading { font-size: 16px; font-weight: 600; }\npolyline, line { fill: none; stroke-width: 2; }\n" \
               ".grid { stroke-width: 1; }\n.dashed { stroke-dasharray: 5 4; stroke-width: 1.5; }\n.leader { stroke-width: 0.75; opacity: 0.6; }\n"
      "#{shapes}#{colours(0)}@media (prefers-color-scheme: dark) {\n#{colours(1)}}\n"
    end

    def colours(page)
      page_colours = PAGE.transform_values { |pair| pair[page] }
      lines = @groups.each_index.map do |index|
        colour = LINES[index % LINES.size][page]
        ".line#{index} { stroke: #{colour}; }\n.fill#{index} { fill: #{colour}; }\n"
      end
      ".page { fill: #{page_colours[:page]}; }\n.heading { fill: #{page_colours[:ink]}; }\n.label { fill: #{page_colours[:faint]}; }\n" \
        ".grid { stroke: #{page_colours[:grid]}; }\n#{lines.join}"
    end

    def escape(text) = text.to_s.encode(xml: :text)
  end
end
