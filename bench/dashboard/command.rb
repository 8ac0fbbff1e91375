# frozen_string_literal: true

require "open3"
require "optparse"
require "yaml"
require_relative "day"
require_relative "panels"
require_relative "picture"
require_relative "prometheus"
require_relative "verdict"

module Dashboard
  # bin/check-dashboard.
  class Command
    RELEASE = "shop"
    NAMESPACE = "prod"
    STEP = 1
    RENDER = "#{Rig::ROOT}/spec/deploy/render_chart.py".freeze

    def initialize(argv)
      @argv = argv
    end

    # The exit status: 0 if every panel and every alert is well.
    def call
      parse
      rule = objects.find { |object| object["kind"] == "PrometheusRule" }
      @prometheus = Prometheus.new(rule.dig("spec", "groups"), series:)
      from = Time.now.to_f
      @day = Day.new(scrape: @prometheus.method(:scrape), say: ->(words) { warn "check-dashboard: #{words}" if @verbose })
      @day.pass
      report(from, Time.now.to_f)
    ensure
      @day&.end
      @prometheus&.stop
    end

    private

    def parse
      OptionParser.new do |parser|
        parser.banner = "usage: bin/check-dashboard [--picture FILE.svg] [--verbose]"
        parser.on("--picture FILE", "draw the panels, as an SVG") { |file| @picture = file }
        parser.on("--verbose", "say what happens to the pods, and what each panel shows") { @verbose = true }
      end.parse!(@argv)
    end

    # What a ServiceMonitor makes of the pods of this release.
    def series
      services = objects.filter_map { |object| object.dig("metadata", "name") if object["kind"] == "Service" }
      { namespace: NAMESPACE, job: services.find { |name| name.end_with?("-metrics") } }
    end

    # The chart's, with its alerts.
    def objects
      @objects ||= begin
        tools, status = Open3.capture2("#{Rig::ROOT}/bin/manifest-tools")
        raise Rig::Missing, "bin/manifest-tools has nothing to render the chart with" unless status.success?

        values = JSON.generate(serviceMonitor: { enabled: true }, prometheusRule: { enabled: true })
        text, status = Open3.capture2e("#{tools.chomp}/python", RENDER, "#{Rig::ROOT}/deploy/helm/tidegate", RELEASE, NAMESPACE, stdin_data: values)
        raise Rig::Unavailable, text unless status.success?

        YAML.load_stream(text).compact
      end
    end

    def report(from, to)
      panels = Panels.new(series:, step: STEP, interval: Prometheus::INTERVAL)
      verdict = Verdict.new(@prometheus, panels, from:, to:).call(@day.statuses)
      puts verdict.lines if @verbose
      File.write(@picture, Picture.new(panels, verdict.series, from:, to:).to_svg) if @picture
      verdict.faults.each { |fault| puts "check-dashboard: #{fault}" }
      puts "check-dashboard: #{verdict.lines.size} panels and alerts looked at, #{verdict.faults.size} faults"
      verdict.faults.empty? ? 0 : 1
    end
  end
end
