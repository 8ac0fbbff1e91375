# frozen_string_literal: true

module Dashboard
  # One panel: lines over time with a scale, a title above and the names below.
  class PlotPanel
    LEFT, TOP, RIGHT, SCALE = 52, 28, 10, 16
    LEGEND = 15
    CHARACTER = 6.2
    # Numbers on the scale, at least.
    MARKS = 3
    # Lines whose points are as near to a straight one are one.
    NEAR = 0.5

    # On a light page, on a dark one.
    COLOURS = [%w[#0b62c4 #5aa9ff], %w[#c4390b #ff8a5c], %w[#2e7d32 #6fcf74], %w[#7b3fb3 #c79bf2], %w[#8a6d00 #e0bd3f], %w[#00707a #4fd0db]].freeze
    PAGE = { page: %w[#f3f5f7 #0d1117], panel: %w[#ffffff #161b22], ink: %w[#1f2933 #e6edf3], faint: %w[#57606a #9aa7b4],
             grid: %w[#e3e7eb #2d353e], drain: %w[#f5a623 #f5a623] }.freeze

    SHAPES = <<~CSS
      text { font: 11px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; }
      .heading { font-size: 17px; font-weight: 600; } .row { font-size: 13px; font-weight: 600; } .title { font-size: 12px; font-weight: 600; }
      polyline { fill: none; stroke-width: 1.4; stroke-linejoin: round; } .area { opacity: .22; stroke: none; } .drain { opacity: .13; }
    CSS

    def self.css = "#{SHAPES}#{colours(0)}@media (prefers-color-scheme: dark) {\n#{colours(1)}}\n"

    def self.colours(page)
      paint = PAGE.transform_values { |pair| pair[page] }
      lines = COLOURS.each_with_index.map { |pair, index| ".l#{index} { stroke: #{pair[page]}; } .f#{index} { fill: #{pair[page]}; }\n" }
      <<~CSS
        .page { fill: #{paint[:page]}; } .panel { fill: #{paint[:panel]}; stroke: #{paint[:grid]}; } .heading, .row, .title { fill: #{paint[:ink]}; }
        .faint { fill: #{paint[:faint]}; } .grid { stroke: #{paint[:grid]}; } .drain { fill: #{paint[:drain]}; }
        #{lines.join}
      CSS
    end
    private_class_method :colours

    # +lines+: [name, [[time, value], ...]] each. +drains+: [from, to] each.
    def initialize(panel, lines, drains:, from:, to:, width:, height:)
      @panel, @drains, @from, @to, @width, @height = panel, drains, from, to, width, height
      lines = lines.map { |name, points| [name, points.reject { |_, value| value.nan? }] }
      @lines = panel.stacked ? stacked(lines) : lines
    end

    def to_svg
      [%(<rect class="panel" width="#{@width}" height="#{@height}" rx="3"/>), %(<text class="title" x="10" y="18">#{text(@panel.title)}</text>),
       *drains, *scale, *areas, *@lines.each_with_index.flat_map { |(_, points), index| polylines(points, index) }, *legend].join("\n")
    end

    private

    def text(words) = words.encode(xml: :text)

    def bottom = @height - SCALE - (LEGEND * legend_rows.size) - 6

    def x(time) = (LEFT + ((time - @from).fdiv(@to - @from) * (@width - LEFT - RIGHT))).round(1)

    def y(value) = (bottom - (value / top_mark.to_f * (bottom - TOP))).round(1)

    # Each on those before it, so that the last is the sum.
    def stacked(lines)
      below = Hash.new(0)
      lines.map { |name, points| [name, points.map { |time, value| [time, below[time] += value] }] }
    end

    def most = @most ||= [@lines.flat_map { |_, points| points.map(&:last) }.max || 0, 0].max

    # The distance of the marks: 1, 2 or 5 times a power of ten, or of 1024.
    def mark
      @mark ||= begin
        base = @panel.unit == "bytes" && most >= 1024 ? 1024**Math.log(most, 1024).floor : 1
        rough = (most.zero? ? 1.0 : most) / base / MARKS
        power = 10.0**Math.log10(rough).floor
        [1, 2, 5, 10].map { |digit| digit * power * base }.reverse.find { |each| each <= rough * base * 1.000001 }
      end
    end

    def top_mark = @panel.max || (mark * [(most / mark).ceil, 1].max)

    def scale
      marks = (0..(top_mark / mark).round).map { |number| number * mark }
      marks = [0, 0.5 * top_mark, top_mark] if marks.size > 8 || @panel.max
      across = marks.flat_map do |value|
        [%(<line class="grid" x1="#{LEFT}" x2="#{@width - RIGHT}" y1="#{y(value)}" y2="#{y(value)}"/>),
         %(<text class="faint" x="#{LEFT - 6}" y="#{y(value) + 4}" text-anchor="end">#{shown(value)}</text>)]
      end
      across + (0..((@to - @from) / 60)).map do |minute|
        %(<text class="faint" x="#{x(@from + (minute * 60))}" y="#{bottom + 14}" text-anchor="middle">#{minute} min</text>)
      end
    end

    def shown(value)
      case @panel.unit
      when "percentunit" then "#{number(value * 100)} %"
      when "s" then value.positive? && value < 1 ? "#{number(value * 1000)} ms" : "#{number(value)} s"
      when "bytes" then power_of(value, 1024, ["B", "KiB", "MiB", "GiB"])
      when "reqps" then "#{number(value)}/s"
      else power_of(value, 1000, ["", "K", "M", "G"])
      end
    end

    def power_of(value, base, names)
      power = value < base ? 0 : Math.log(value * 1.000001, base).floor
      "#{number(value / (base**power).to_f)} #{names[power]}".strip
    end

    def number(value) = format("%.3g", value).sub(/e.*/, "").then { |short| value >= 1000 ? value.round.to_s : short }

    def drains
      # As wide as can be seen, also where there is one value.
      @drains.map do |from, to|
        %(<rect class="drain" x="#{x(from)}" y="#{TOP}" width="#{[x(to) - x(from), 3].max.round(1)}" height="#{bottom - TOP}"/>)
      end
    end

    # Between each line of a stack and the one below.
    def areas
      return [] unless @panel.stacked

      below = Hash.new(0)
      @lines.each_with_index.flat_map do |(_, points), index|
        areas = pieces(points).map do |piece|
          floor = piece.reverse.map { |time, _| [time, below[time]] }
          %(<polygon class="area f#{index % COLOURS.size}" points="#{places(piece)} #{places(floor)}"/>)
        end
        below.merge!(points.to_h)
        areas
      end
    end

    def polylines(points, index)
      pieces(points).map { |piece| %(<polyline class="l#{index % COLOURS.size}" points="#{places(piece)}"/>) }
    end

    # Without the times at which there was no value.
    def pieces(points) = points.slice_when { |(before, _), (after, _)| after - before > 1.5 }.map { |piece| piece.size == 1 ? piece * 2 : piece }

    def places(points)
      corners(points.map { |time, value| [x(time), y([value, top_mark].min)] }).map { |place| place.join(",") }.join(" ")
    end

    # Without the points that lie between their neighbours.
    def corners(places)
      kept = places.take(1)
      places.each_cons(2).with_index do |(_, last), index|
        following = places[index + 2] or break kept << last
        share = (last[0] - kept.last[0]) / (following[0] - kept.last[0]).nonzero?.to_f
        kept << last unless share.finite? && (kept.last[1] + (share * (following[1] - kept.last[1])) - last[1]).abs < NEAR
      end
      kept
    end

    # [name, index, left] of the names, as many in a row as fit.
    def legend_rows
      @legend_rows ||= @lines.each_with_index.each_with_object([[]]) do |((name, _), index), rows|
        left = rows.last.empty? ? 10 : rows.last.last[2] + width_of(rows.last.last[0])
        left, = 10, rows << [] if left + width_of(name) > @width && rows.last.any?
        rows.last << [name, index, left]
      end
    end

    def width_of(name) = 26 + (name.size * CHARACTER)

    def legend
      legend_rows.each_with_index.flat_map do |row, number|
        top = @height - 8 - (LEGEND * (legend_rows.size - 1 - number))
        row.flat_map do |name, index, left|
          [%(<rect class="f#{index % COLOURS.size}" x="#{left}" y="#{top - 5}" width="10" height="3"/>),
           %(<text class="faint" x="#{left + 14}" y="#{top}">#{text(name)}</text>)]
        end
      end
    end
  end
end
