# frozen_string_literal: true

require "json"

module Dashboard
  # dashboard.json of the chart, with the questions of its panels as Grafana asks them.
  class Panels
    FILE = File.expand_path("../../deploy/helm/tidegate/dashboard.json", __dir__)

    Target = Struct.new(:expression, :legend, :step) do
      # The name of a series in the legend.
      def name(labels) = legend.gsub(/\{\{(\w+)\}\}/) { labels.fetch($1, "") }

      # The labels that the legend shows.
      def labels = legend.scan(/\{\{(\w+)\}\}/).flatten
    end

    Panel = Struct.new(:title, :kind, :x, :y, :width, :height, :unit, :max, :stacked, :targets) do
      def row? = kind == "row"
    end

    # +series+: the labels that stand for its variables. +step+: seconds between two points.
    def initialize(series:, step:, interval:, file: FILE)
      @json = JSON.parse(File.read(file))
      @step = step
      # What Grafana takes for $__rate_interval, with the scrape interval of its data source.
      @values = { "namespace" => series.fetch(:namespace), "job" => series.fetch(:job), "pod" => ".*",
                  "__rate_interval" => "#{[step + interval, 4 * interval].max}s" }
    end

    def all = @json.fetch("panels").map { |panel| made_of(panel) }

    # What marks the drains on all panels.
    def annotations
      @json.fetch("annotations").fetch("list").map do |each|
        Target.new(filled(each.fetch("expr")), each.fetch("titleFormat"), Integer(each.fetch("step")[/\d+/]))
      end
    end

    # Name of a variable => [the series it is taken from, the label].
    def variables
      questions = @json.fetch("templating").fetch("list").select { |each| each["type"] == "query" }
      questions.to_h { |each| [each.fetch("name"), filled(each.fetch("query").fetch("query")).match(/\Alabel_values\((.*), (\w+)\)\z/).captures] }
    end

    private

    def made_of(json)
      defaults = json.dig("fieldConfig", "defaults") || {}
      place = json.fetch("gridPos")
      Panel.new(json.fetch("title"), json.fetch("type"), *place.values_at("x", "y", "w", "h"), defaults["unit"], defaults["max"],
                defaults.dig("custom", "stacking", "mode") == "normal",
                json.fetch("targets", []).map { |each| Target.new(filled(each.fetch("expr")), each.fetch("legendFormat"), @step) })
    end

    # A variable that is not among the values stays, and is an error for Prometheus.
    def filled(text) = text.gsub(/\$(\w+)/) { @values.fetch($1) { $& } }
  end
end
