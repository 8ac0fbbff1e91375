# frozen_string_literal: true

# What both forms of the manifests, Kustomize's and Helm's, have to keep. `objects` are those of one form.

RSpec.shared_examples "objects for a server that drains" do
  let(:pod) { pod_of(objects) }
  let(:container) { container_of(objects) }

  it "are valid for every version of Kubernetes that is named" do
    expect(faults(objects)).to be_empty
  end

  it "tell the server how long the platform waits, in the same number" do
    expect(env_of(objects)["TIDEGATE_TERMINATION_GRACE"]).to eq(pod.fetch("terminationGracePeriodSeconds").to_s)
  end

  it "have no preStop hook, and start a new pod before an old one ends" do
    expect(container).not_to have_key("lifecycle")
    expect(find(objects, "Deployment").dig("spec", "strategy", "rollingUpdate")).to eq("maxSurge" => 1, "maxUnavailable" => 0)
  end

  it "ask the admin port: whether it has started, lives, and serves" do
    probes = %w[startupProbe livenessProbe readinessProbe].map { |name| container.fetch(name).fetch("httpGet") }

    expect(probes).to eq([{ "path" => "/startupz", "port" => "admin" }, { "path" => "/livez", "port" => "admin" },
                          { "path" => "/servingz", "port" => "admin" }])
  end

  it "give the ports to the server that they name" do
    ports = container.fetch("ports").to_h { |port| [port["name"], port["containerPort"]] }

    expect(env_of(objects)).to include("PORT" => ports["http"].to_s, "TIDEGATE_ADMIN" => "tcp://0.0.0.0:#{ports["admin"]}")
  end

  it "run without root, without capabilities, and on a file system that is read-only" do
    expect(pod["securityContext"]).to include("runAsNonRoot" => true, "runAsUser" => 10_001,
                                              "seccompProfile" => { "type" => "RuntimeDefault" })
    expect(container["securityContext"]).to eq("allowPrivilegeEscalation" => false, "readOnlyRootFilesystem" => true,
                                               "capabilities" => { "drop" => ["ALL"] })
    expect(pod["automountServiceAccountToken"]).to be(false)
  end

  it "have a writable place where request bodies wait" do
    mounts = container.fetch("volumeMounts").to_h { |mount| [mount["mountPath"], mount["name"]] }
    volumes = pod.fetch("volumes").to_h { |volume| [volume["name"], volume] }

    expect(mounts).to include("/tmp", "/app/tmp")
    expect(volumes.values_at(*mounts.values_at("/tmp", "/app/tmp"))).to all(include("emptyDir" => { "sizeLimit" => "1Gi" }))
    expect(volumes.values.filter_map { |volume| volume["emptyDir"] }.uniq).to eq(["sizeLimit" => "1Gi"])
    # Ruby does not take the volume itself: spec/deploy/temporary_directory_spec.rb.
    expect(mounts).to include(File.dirname(env_of(objects).fetch("TMPDIR")))
  end

  it "select what they are meant for" do
    labels = find(objects, "Deployment").dig("spec", "template", "metadata", "labels")
    clients = objects.find { |object| object["kind"] == "Service" && object.dig("metadata", "name") !~ /metrics/ }
    selectors = [find(objects, "Deployment").dig("spec", "selector", "matchLabels"), clients.dig("spec", "selector"),
                 find(objects, "PodDisruptionBudget").dig("spec", "selector", "matchLabels"),
                 *pod["topologySpreadConstraints"].map { |one| one.dig("labelSelector", "matchLabels") }]

    expect(selectors).to all(satisfy { |selector| !selector.empty? && selector <= labels })
    expect(clients.dig("spec", "ports").map { |port| port["targetPort"] }).to eq(["http"])
  end
end

RSpec.shared_examples "objects that are measured and scaled" do
  it "let Prometheus find the admin port of every pod, and only that" do
    monitor = find(objects, "ServiceMonitor")
    labels = find(objects, "Deployment").dig("spec", "template", "metadata", "labels")
    services = objects.select do |object|
      object["kind"] == "Service" && monitor.dig("spec", "selector", "matchLabels") <= object.dig("metadata", "labels")
    end

    expect(services.size).to eq(1)
    expect(services.first.dig("spec", "selector")).to be <= labels
    expect(services.first.dig("spec", "ports").map { |port| port.values_at("name", "targetPort") }).to eq([%w[admin admin]])
    expect(services.first["spec"]).to include("clusterIP" => "None", "publishNotReadyAddresses" => true)
    expect(monitor.dig("spec", "endpoints")).to match([include("port" => "admin", "path" => "/metrics")])
  end

  it "leave the number of replicas to the autoscaler, which goes by a metric that the adapter's rule makes" do
    deployment = find(objects, "Deployment")
    autoscaler = find(objects, "HorizontalPodAutoscaler")
    rule = YAML.load_file("#{Manifests::DEPLOY}/kubernetes/autoscaling/prometheus-adapter.yaml").fetch("rules").fetch(0)

    expect(deployment["spec"]).not_to have_key("replicas")
    expect(autoscaler.dig("spec", "scaleTargetRef"))
      .to eq("apiVersion" => "apps/v1", "kind" => "Deployment", "name" => deployment.dig("metadata", "name"))
    expect(autoscaler.dig("spec", "metrics", 0, "pods", "metric", "name")).to eq(rule.dig("name", "as"))
    series = rule["seriesQuery"][/\A\w+/]
    expect(series).to eq("tidegate_queue_wait_seconds_bucket")
    expect(rule.dig("name", "matches")).to eq("^#{series}$")
  end
end
