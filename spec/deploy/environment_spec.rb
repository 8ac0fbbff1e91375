# frozen_string_literal: true

# A server that is started as the manifests start it: with the Deployment's environment, on ports of this machine.
RSpec.describe "the environment of the manifests", :manifests, :processes do
  def deployment = YAML.load_file("#{Manifests::DEPLOY}/kubernetes/base/deployment.yaml")
  def pod = deployment.dig("spec", "template", "spec")
  def container = pod.dig("containers", 0)

  # As in a pod, which has its own address and ports.
  def start_in_pod(**env)
    given = container["env"].to_h { |entry| entry.values_at("name", "value") }
    here = { "PORT" => "0", "TIDEGATE_HOST" => "127.0.0.1", "RACK_ENV" => "production", "KUBERNETES_SERVICE_HOST" => "10.0.0.1",
             "TIDEGATE_ADMIN" => given["TIDEGATE_ADMIN"].sub(/0\.0\.0\.0:\d+/, "127.0.0.1:0") }
    start("-C", "-", fixture("hello.ru"), env: { **given, **here, **env })
  end

  it "makes a server that answers its probes where the manifests ask, with a plan that fits the grace" do
    server = start_in_pod.ready
    plan = server.wait_for_line(/on SIGTERM (?<delay>[\d.]+) s of drain delay, then (?<rest>[\d.]+) s to finish/)
    paths = %w[startupProbe livenessProbe readinessProbe].map { |name| container.dig(name, "httpGet", "path") }

    expect(paths.map { |path| server.probe(path) }).to eq([200, 200, 200])
    # Of the grace two seconds are kept as a margin.
    expect(plan[:delay].to_f + plan[:rest].to_f).to be_within(0.2).of(pod["terminationGracePeriodSeconds"] - 2)
    # What docs/kubernetes.md says of it.
    expect(File.read("#{Manifests::ROOT}/docs/kubernetes.md"))
      .to include("at most 10 s: #{plan[:delay]} s |", "the rest: #{plan[:rest]} s |")
    expect(server.output).not_to match(/warning|error|does not fit/i)
  end

  it "makes a server that has the metrics which the ServiceMonitor fetches and the autoscaler's rule is made of" do
    server = start_in_pod.ready
    monitor = YAML.load_file("#{Manifests::DEPLOY}/kubernetes/monitoring/servicemonitor.yaml")
    rule = YAML.load_file("#{Manifests::DEPLOY}/kubernetes/autoscaling/prometheus-adapter.yaml").dig("rules", 0)
    response = Wire.open(server.admin) { |wire| wire.get(monitor.dig("spec", "endpoints", 0, "path")) }

    expect(response.status).to eq(200)
    expect(response.body).to match(/^#{rule["seriesQuery"][/\A\w+/]}\{le="\+Inf"\} 0$/)
  end

  it "keeps the pod in service while it drains, as the readiness probe of the manifests sees it" do
    server = start_in_pod("TIDEGATE_DRAIN_DELAY" => "20").ready
    server.signal(:TERM)
    server.wait_for_line(/draining: SIGTERM/)

    expect(server.probe(container.dig("readinessProbe", "httpGet", "path"))).to eq(200)
    expect(server.probe("/readyz")).to eq(503)
    expect(server.get("/").status).to eq(200)
    server.signal(:INT)
    expect(server.exit_status).to eq(0)
  end

  it "is told of the grace by systemd's unit as well, and the rest of the group is not signalled before the server ends" do
    unit = File.read("#{Manifests::DEPLOY}/systemd/tidegate.service")
    grace = unit[/TIDEGATE_TERMINATION_GRACE=(\d+)/, 1]

    expect(grace).to eq(unit[/^TimeoutStopSec=(\d+)/, 1])
    expect(unit).to include("\nKillMode=mixed\n", "\nKillSignal=SIGTERM\n")
    expect(unit[/^ExecStart=(.*)/, 1]).to eq("/usr/bin/env bundle exec tidegate")
  end
end
