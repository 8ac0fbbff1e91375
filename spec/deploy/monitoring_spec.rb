# frozen_string_literal: true

require "json"

# The alerts and the dashboard of the chart, against what the server has: each metric and each label of a query exists.
RSpec.describe "what watches the server" do
  # NAME => its labels, as docs/metrics.md has them; spec/http/metrics_spec.rb compares that page with /metrics.
  documented = File.read(File.join(Manifests::ROOT, "docs/metrics.md")).scan(/^\| `((?:tidegate|process)_\w+)(?:\{([\w,]+)\})?` \| (\w+) \|/)
                   .to_h { |name, labels, kind| [name, { labels: labels.to_s.split(","), kind: }] }

  # What Prometheus adds to a series of a pod.
  theirs = %w[namespace job pod instance le]

  # Faults of one expression of PromQL, in words.
  faults_of = lambda do |query|
    # $__rate_interval and the like are Grafana's.
    names = query.gsub(/"[^"]*"/, '""').scan(/\b(?:tidegate|process)_\w+/).uniq
    known = names.to_h { |name| [name, documented[name] || documented[name.sub(/_(bucket|sum|count)\z/, "")]] }
    unknown = known.filter_map { |name, entry| "there is no #{name}" unless entry }
    kinds = known.compact.flat_map do |name, entry|
      of_histogram = name.match?(/_(bucket|sum|count)\z/) && !documented[name]
      of_counter = query.match?(/(?:rate|increase)\(#{name}\b/)
      [("#{name} is no histogram" if of_histogram && entry[:kind] != "histogram"),
       ("#{name} is a histogram and has no value of its own" if !of_histogram && entry[:kind] == "histogram"),
       ("#{name} is a #{entry[:kind]} and has no rate" if of_counter && entry[:kind] == "gauge"),
       ("#{name} only grows since the start of a process" if !of_counter && !of_histogram && entry[:kind] == "counter" && !name.start_with?("tidegate_drain_"))]
    end
    labels = query.scan(/(\w+)\{([^}]*)\}/).flat_map do |name, matchers|
      allowed = theirs + (known[name]&.fetch(:labels) || [])
      matchers.scan(/(\w+)\s*(?:=~|!=|!~|=)/).flatten.filter_map { |label| "#{name} has no label #{label}" unless allowed.include?(label) }
    end
    grouped = query.scan(/\bby \(([\w, ]*)\)/).flat_map { |(list)| list.split(/, */) } - theirs - known.values.compact.flat_map { |entry| entry[:labels] }
    unknown + kinds.compact + labels + grouped.map { |label| "nothing has the label #{label}" }
  end

  def dashboard = JSON.parse(File.read("#{Manifests::CHART}/dashboard.json"))

  it "is found out where a query names what there is not" do
    wrong = { "rate(tidegate_request_total[5m])" => "there is no tidegate_request_total", "tidegate_threads{stat=\"idle\"}" => "tidegate_threads has no label stat",
              "rate(tidegate_queue_depth[5m])" => "tidegate_queue_depth is a gauge and has no rate",
              "sum by (code) (tidegate_phase)" => "nothing has the label code", "tidegate_app_time_seconds" => "a histogram", "tidegate_stalls_total" => "only grows" }
    wrong.each { |query, words| expect(faults_of.(query)).to contain_exactly(include(words)), query }
    expect(documented.size).to be > 60
  end

  describe "the dashboard" do
    it "asks only for what there is, and says of each panel what it is for" do
      panels = dashboard["panels"].reject { |panel| panel["type"] == "row" }
      queries = panels.flat_map { |panel| panel["targets"].map { |target| target["expr"] } } + dashboard["annotations"]["list"].map { |each| each["expr"] }
      variables = dashboard["templating"]["list"].map { |each| each.dig("query", "query") if each["query"].is_a?(Hash) }.compact

      expect(panels.size).to be > 20
      expect(panels.map { |panel| panel["description"] }).to all(match(/\S.*\.\z/))
      expect((queries + variables).to_h { |query| [query, faults_of.(query.sub(/\Alabel_values\((.*), (\w+)\)\z/, 'sum by (\2) (\1)'))] }.reject { |_, faults| faults.empty? }).to eq({})
      expect(queries).to all include('namespace="$namespace", job="$job"')
    end

    it "draws no panel over another, and has each of its variables" do
      places = dashboard["panels"].map { |panel| panel["gridPos"] }
      cells = places.flat_map { |each| (each["x"]...(each["x"] + each["w"])).to_a.product((each["y"]...(each["y"] + each["h"])).to_a) }
      names = dashboard["templating"]["list"].map { |each| each["name"] } + ["__rate_interval", "__all"]

      expect(cells.uniq.size).to eq(cells.size)
      expect(cells.map(&:first).max).to be < 24
      expect(dashboard["panels"].map { |panel| panel["id"] }.uniq.size).to eq(places.size)
      expect(JSON.generate(dashboard).scan(/\$\{?(\w+)/).flatten.uniq - names).to be_empty
    end
  end

  describe "the chart", :manifests do
    before(:context) { @objects = rendered({ serviceMonitor: { enabled: true }, prometheusRule: { enabled: true }, dashboard: { enabled: true } }) }

    attr_reader :objects

    it "alerts on what there is, in this release's series, and says what to do" do
      rules = find(objects, "PrometheusRule").dig("spec", "groups", 0, "rules")

      expect(rules.map { |rule| rule["alert"] }).to include("TidegateQueueWait", "TidegateLateConnections", "TidegateRequestsCut", "TidegateRestarted", "TidegateWorkersReplaced")
      expect(rules.to_h { |rule| [rule["alert"], faults_of.(rule["expr"])] }.reject { |_, faults| faults.empty? }).to eq({})
      expect(rules.map { |rule| rule["expr"] }).to all include("namespace=\"prod\", job=\"#{find(objects, "Service", "shop-tidegate-metrics").dig("metadata", "name")}\"")
      expect(rules.map { |rule| rule["annotations"].values_at("summary", "description") }.flatten).to all(match(/\A\S.*\S\z/))
      # A label of an annotation is one that the expression leaves.
      rules.each do |rule|
        left = rule["expr"][/\bby \((\w+)\)/, 1]
        expect(rule["annotations"].values.join.scan(/\$labels\.(\w+)/).flatten.uniq - [left]).to be_empty, rule["alert"]
      end
    end

    it "brings the dashboard as it is in the file" do
      config = find(objects, "ConfigMap")

      expect(config.dig("metadata", "labels")).to include("grafana_dashboard" => "1")
      expect(JSON.parse(config.dig("data", "tidegate.json"))).to eq(dashboard)
    end
  end
end
