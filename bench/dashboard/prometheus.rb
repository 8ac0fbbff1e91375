# frozen_string_literal: true

require "fileutils"
require "json"
require "net/http"
require "open3"
require "tmpdir"
require_relative "../support/child"

module Dashboard
  # A Prometheus on a free port of 127.0.0.1 which scrapes pods every second, and its HTTP API.
  class Prometheus
    INTERVAL = 1
    WITHIN = 30
    NUMBERS = { "NaN" => Float::NAN, "+Inf" => Float::INFINITY, "-Inf" => -Float::INFINITY }.freeze

    # What Prometheus says is wrong with a question.
    class Refused < StandardError; end

    # The directory with the programs; bin/prometheus fetches them.
    def self.programs
      output, status = Open3.capture2(File.expand_path("../../bin/prometheus", __dir__))
      raise Rig::Missing, "bin/prometheus has no prometheus and promtool for this machine" unless status.success?

      output.chomp
    end

    # +groups+ are the groups of alerts, as a PrometheusRule has them. +series+ are the labels of all pods.
    def initialize(groups, series:)
      @series = series
      @directory = Dir.mktmpdir("prometheus")
      File.write("#{@directory}/rules.yml", JSON.generate(groups:))
      File.write("#{@directory}/prometheus.yml", JSON.generate(configuration))
      scrape([])
      check
      start
    end

    # From now on these are scraped, and no others; a pod that is gone is stale, as it is after it left a cluster.
    def scrape(pods)
      targets = pods.map { |pod| { targets: [pod.target], labels: { **@series, pod: pod.name } } }
      File.write("#{@directory}/pods.new", JSON.generate(targets))
      File.rename("#{@directory}/pods.new", "#{@directory}/pods.json")
    end

    # What /api/v1/PATH answers.
    def ask(path, **parameters)
      uri = URI("#{@address}/api/v1/#{path}")
      uri.query = URI.encode_www_form(parameters)
      answer = JSON.parse(Net::HTTP.get(uri))
      answer["status"] == "success" ? answer["data"] : raise(Refused, answer["error"])
    end

    # The series of an expression over a time: { "metric" => labels, "values" => [[time, number], ...] } each.
    def range(expression, from:, to:, step:)
      ask("query_range", query: expression, start: from, end: to, step:).fetch("result").each do |series|
        series["values"].map! { |time, number| [time, NUMBERS.fetch(number) { Float(number) }] }
      end
    end

    # The alerts as Prometheus has them: name, state, health and last error.
    def alerts = ask("rules").fetch("groups").flat_map { |group| group["rules"] }

    def stop
      @child&.stop
      FileUtils.rm_rf(@directory)
    end

    private

    def configuration
      { global: { scrape_interval: "#{INTERVAL}s", scrape_timeout: "#{INTERVAL}s", evaluation_interval: "#{INTERVAL}s" },
        rule_files: ["#{@directory}/rules.yml"],
        scrape_configs: [{ job_name: "pods", file_sd_configs: [{ files: ["#{@directory}/pods.json"], refresh_interval: "1s" }] }] }
    end

    def check
      output, status = Open3.capture2e("#{self.class.programs}/promtool", "check", "config", "#{@directory}/prometheus.yml")
      raise Rig::Unavailable, "promtool does not take the alerts: #{output}" unless status.success?
    end

    def start
      @child = Rig::Child.new(["#{self.class.programs}/prometheus", "--config.file=#{@directory}/prometheus.yml",
                               "--storage.tsdb.path=#{@directory}/data", "--web.listen-address=127.0.0.1:0"], name: "prometheus")
      @child.wait_for_line(/ready to receive web requests/, within: WITHIN) or
        raise Rig::Unavailable, "prometheus does not start: #{@child.output.last(5).join(" | ")}"
      @address = "http://#{@child.output.grep(/Listening on/).first[/address=(\S+)/, 1]}"
    end
  end
end
