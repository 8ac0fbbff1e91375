# frozen_string_literal: true

require_relative "plot_panel"

module Dashboard
  # The panels with their values, as they lie in dashboard.json, as an SVG that can be read on a light and on a dark page. Drawn here:
  # Grafana is not asked.
  class Picture
    WIDTH = 1200
    COLUMNS = 24
    ROW = 25
    TOP = 44
    GAP = 4

    # +series+: what Prometheus answered, by target.
    def initialize(panels, series, from:, to:)
      @panels, @series, @from, @to = panels, series, from, to
    end

    def to_svg
      <<~SVG
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 #{WIDTH} #{height}" width="#{WIDTH}" height="#{height}" role="img"
          aria-labelledby="title">
        <title id="title">The panels of dashboard.json</title>
        <style>#{PlotPanel.css}</style>
        <rect class="page" width="#{WIDTH}" height="#{height}"/>
        <text class="heading" x="#{GAP}" y="27">Tidegate</text>
        <text class="faint" x="#{WIDTH - GAP}" y="27" text-anchor="end">drawn by bin/check-dashboard; drains are shaded</text>
        #{@panels.all.map { |panel| panel.row? ? row(panel) : panel(panel) }.join("\n")}
        </svg>
      SVG
    end

    private

    def height = TOP + (@panels.all.map { |panel| panel.y + panel.height }.max * ROW) + GAP

    def place(panel) = [panel.x * WIDTH / COLUMNS, TOP + (panel.y * ROW)]

    def row(panel)
      left, top = place(panel)
      %(<text class="row" x="#{left + GAP}" y="#{top + 17}">#{panel.title.encode(xml: :text)}</text>)
    end

    def panel(panel)
      left, top = place(panel)
      width = (panel.width * WIDTH / COLUMNS) - (2 * GAP)
      inner = PlotPanel.new(panel, lines(panel), drains:, from: @from, to: @to, width:, height: (panel.height * ROW) - (2 * GAP))
      %(<g transform="translate(#{left + GAP} #{top + GAP})">\n#{inner.to_svg}\n</g>)
    end

    # Name in the legend => [[time, value], ...].
    def lines(panel)
      panel.targets.flat_map { |target| @series.fetch(target, []).map { |each| [target.name(each["metric"]), each["values"]] } }
    end

    # [from, to] of each drain.
    def drains
      @drains ||= @panels.annotations.flat_map do |target|
        @series.fetch(target, []).map { |each| each["values"].map(&:first).minmax }
      end
    end
  end
end
