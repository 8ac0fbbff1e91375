# frozen_string_literal: true

require "open3"
require "tmpdir"
require_relative "../../bench/dashboard/panels"

# The chart's alerts, the dashboard's queries and /metrics, as Prometheus' own tool takes them. bin/check-dashboard does the same with a
# live Prometheus and pods under load.
RSpec.describe "promtool", :manifests do
  def promtool
    @promtool ||= begin
      output, status = Open3.capture2("#{Manifests::ROOT}/bin/prometheus", "--cached")
      skip "bin/prometheus has not been run: there is no promtool" unless status.success?
      "#{output.chomp}/promtool"
    end
  end

  def run(*arguments, stdin: "") = Open3.capture2e(promtool, *arguments, stdin_data: stdin)

  def groups = find(rendered({ serviceMonitor: { enabled: true }, prometheusRule: { enabled: true } }), "PrometheusRule").dig("spec", "groups")

  around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

  def file(name, content) = "#{@directory}/#{name}".tap { |path| File.write(path, JSON.generate(content)) }

  it "takes every query of the dashboard" do
    panels = Dashboard::Panels.new(series: { namespace: "prod", job: "shop" }, step: 15, interval: 15)
    queries = (panels.all.flat_map(&:targets) + panels.annotations).map(&:expression)
    rules = queries.each_with_index.map { |expr, index| { record: "query_#{index}", expr: } }
    output, status = run("check", "rules", "--lint=none", file("rules.yml", { groups: [{ name: "dashboard", rules: }] }))

    expect(queries.size).to be > 40
    expect(status).to be_success, output
  end

  it "finds nothing to complain of in /metrics", :processes do
    promtool
    server = serve("hello.ru", "-w", 1, "--admin", "tcp://127.0.0.1:0")
    server.get("/")
    output, status = run("check", "metrics", stdin: Wire.open(server.admin) { |wire| wire.get("/metrics").body })
    expect([output, status.exitstatus]).to eq(["", 0])
  end

  describe "on the alerts" do
    pod = 'namespace="prod", job="shop-tidegate-metrics", pod="shop-1", instance="10.0.0.1:9394"'

    # Alert => the series that it looks at, each with a value for every minute (VALUExTIMES, or VALUE+STEPxTIMES); the labels that it has
    # then; its summary. At minute 20 there is no reason for it yet, and at minute 80 there is.
    cases = {
      # Of 100 requests a minute 10 wait for half a second at the end.
      "TidegateQueueWait" => [{ %(tidegate_queue_wait_seconds_bucket{#{pod}, le="0.01"}) => "0+100x25 2600+90x60",
                                %(tidegate_queue_wait_seconds_bucket{#{pod}, le="0.5"}) => "0+100x90",
                                %(tidegate_queue_wait_seconds_bucket{#{pod}, le="+Inf"}) => "0+100x90" },
                              {}, "One request in twenty waits 255ms for a thread."],
      "TidegateRequestsShed" => [{ %(tidegate_requests_shed_total{#{pod}, reason="queue_full"}) => "0x25 1+1x60" },
                                 { reason: "queue_full" }, "Clients get 503 from the server itself (queue_full)."],
      "TidegateUnattended" => [{ "tidegate_unattended_seconds{#{pod}}" => "0x75 60+60x20" },
                               { pod: "shop-1" }, "Requests wait in shop-1, and no thread runs the app."],
      "TidegateLateConnections" => [{ "tidegate_drain_late_connections_total{#{pod}}" => "0x75 3x20" },
                                    {}, "A pod that ended got connections in the last fifth of its drain delay, or after it."],
      "TidegateRequestsCut" => [{ "tidegate_requests_cut_total{#{pod}}" => "0x75 1x20" }, {}, "Requests ended without a whole response."],
      "TidegateUnackedBytes" => [{ "tidegate_unacked_bytes_total{#{pod}}" => "0x75 4096x20" },
                                 {}, "Clients had not confirmed the end of their responses when a drain gave them up."],
      "TidegateWorkersReplaced" => [{ %(tidegate_worker_restarts_total{#{pod}, reason="crashed"}) => "0x75 1x20",
                                      %(tidegate_worker_restarts_total{#{pod}, reason="phased"}) => "0+1x95" },
                                    { reason: "crashed" }, "Workers of a cluster were replaced (crashed)."],
      "TidegateRestarted" => [{ "tidegate_start_time_seconds{#{pod}}" => "100x75 4600x20" },
                              {}, "The container of a pod was started anew, without a rollout."],
      "TidegateRequestsStuck" => [{ "tidegate_requests_stuck_total{#{pod}}" => "0x75 1x20" },
                                  {}, "Threads did not come back from requests that were timed out."],
      "TidegateDescriptors" => [{ "process_open_fds{#{pod}}" => "100x25 900x60", "process_max_fds{#{pod}}" => "1000x90" },
                                { pod: "shop-1" }, "shop-1 has 90% of its descriptors open."],
      # The time begins at 0. Two weeks are 1209600 s.
      "TidegateCertificateEnds" => [{ %(tidegate_tls_certificate_not_after_seconds{#{pod}, name="shop.example"}) => "1210500x90" },
                                    { name: "shop.example" }, "The certificate of shop.example ends in 13d 22h 55m 0s."]
    }

    it "fires each for what it is there for, in words, and none before" do
      groups = self.groups
      rules = groups.flat_map { |group| group["rules"] }.to_h { |rule| [rule["alert"], rule] }
      expect(cases.keys).to match_array(rules.keys)

      tests = cases.map do |alertname, (series, labels, summary)|
        rule = rules.fetch(alertname)
        fired = { exp_labels: { **rule["labels"], **labels.transform_keys(&:to_s) }, exp_annotations: { **rule["annotations"], "summary" => summary } }
        { interval: "1m", input_series: series.map { |name, values| { series: name, values: } },
          alert_rule_test: [{ eval_time: "20m", alertname:, exp_alerts: [] }, { eval_time: "80m", alertname:, exp_alerts: [fired] }] }
      end
      rule_files = [file("rules.yml", { groups: })]
      output, status = run("test", "rules", file("tests.yml", { rule_files:, evaluation_interval: "1m", tests: }))
      expect(status).to be_success, output
    end
  end
end
