# frozen_string_literal: true

require "tmpdir"

# The Helm chart, rendered by Helm's own library.
RSpec.describe "deploy/helm/tidegate", :manifests do
  # Every part of it in use.
  everything = {
    terminationGracePeriodSeconds: 75, replicas: 4,
    image: { repository: "registry.example.com/shop", tag: "1.0.0" },
    options: { drain_delay: 2.5, drain_until_quiet: true, http_content_length_limit: 10_485_760, tag: "shop" },
    env: [{ name: "RAILS_LOG_LEVEL", value: "info" }], envFrom: [{ secretRef: { name: "shop" } }],
    ports: { http: 3000, admin: 9999 }, imagePullSecrets: [{ name: "registry" }],
    service: { type: "LoadBalancer", port: 443, annotations: { "example.com/a" => "b" } },
    autoscaling: { enabled: true, maxReplicas: 30, queueWait: "20m" },
    serviceMonitor: { enabled: true, labels: { release: "prometheus" } },
    podAnnotations: { "example.com/c" => "d" }, podLabels: { team: "shop" }, serviceAccountName: "shop",
    nodeSelector: { "kubernetes.io/arch" => "amd64" }, tolerations: [{ key: "web", operator: "Exists" }],
    affinity: { nodeAffinity: {} }, writableDirectories: ["/app/tmp", "/app/storage"],
    command: %w[bundle exec tidegate], args: %w[--log-requests],
    initContainers: [{ name: "proxy", image: "registry.example.com/proxy:1" }], sidecars: [{ name: "tail", image: "registry.example.com/tail:1" }],
    volumes: [{ name: "ca", configMap: { name: "ca" } }], volumeMounts: [{ name: "ca", mountPath: "/etc/ca", readOnly: true }],
    ingress: { enabled: true, className: "nginx", annotations: { "example.com/e" => "f" }, tls: [{ secretName: "shop", hosts: ["shop.example.com"] }],
               hosts: [{ host: "shop.example.com" }, { host: "api.example.com", paths: ["/v1", "/v2"] }] },
    migration: { enabled: true }, dashboard: { enabled: true, annotations: { "example.com/folder" => "web" } },
    prometheusRule: { enabled: true, queueWait: 0.25, labels: { release: "prometheus" }, rules: [{ alert: "Mine", expr: "vector(1)" }] }
  }

  # A copy of the chart with a text replaced in one of its files.
  def changed_chart(file, from, to)
    Dir.mktmpdir("tidegate-chart") do |directory|
      FileUtils.cp_r("#{Manifests::CHART}/.", directory)
      text = File.read("#{directory}/#{file}")
      raise "#{file} has no #{from}" unless text.include?(from)

      File.write("#{directory}/#{file}", text.sub(from, to))
      yield directory
    end
  end

  context "with its own values" do
    before(:context) { @objects = rendered }

    attr_reader :objects

    it_behaves_like "objects for a server that drains"

    it "makes the same of the app as the Kustomize base" do
      other = kustomized("base")
      of = lambda do |objects|
        container = container_of(objects).reject { |name, _| %w[volumeMounts imagePullPolicy].include?(name) }
        [container, pod_of(objects)["securityContext"], find(objects, "Deployment").dig("spec", "strategy"),
         find(objects, "PodDisruptionBudget")["spec"].except("selector"), find(objects, "Service")["spec"].except("selector")]
      end

      expect(of.call(objects)).to eq(of.call(other))
    end
  end

  context "with everything in use" do
    before(:context) { @objects = rendered(everything) }

    attr_reader :objects

    it_behaves_like "objects for a server that drains"
    it_behaves_like "objects that are measured and scaled"

    it "makes of each option what the server understands" do
      expect(env_of(objects)).to include("TIDEGATE_TERMINATION_GRACE" => "75", "TIDEGATE_DRAIN_DELAY" => "2.5",
                                         "TIDEGATE_DRAIN_UNTIL_QUIET" => "true", "TIDEGATE_TAG" => "shop",
                                         "TIDEGATE_HTTP_CONTENT_LENGTH_LIMIT" => "10485760", "RAILS_LOG_LEVEL" => "info")
      expect(container_of(objects)["envFrom"]).to eq(["secretRef" => { "name" => "shop" }])
    end

    it "starts what it is told beside the server, and mounts it the same volumes" do
      pod = pod_of(objects)

      expect(container_of(objects).values_at("command", "args")).to eq([%w[bundle exec tidegate], ["--log-requests"]])
      expect(pod["containers"].map { |each| each["name"] }).to eq(%w[app tail])
      expect(pod["initContainers"].map { |each| each["name"] }).to eq(["proxy"])
      expect(pod["volumes"]).to include("name" => "ca", "configMap" => { "name" => "ca" })
      expect(container_of(objects)["volumeMounts"]).to include("name" => "ca", "mountPath" => "/etc/ca", "readOnly" => true)
    end

    it "leads the ingress to the app's own Service, by the name of its port" do
      rules = find(objects, "Ingress").dig("spec", "rules")
      backends = rules.flat_map { |rule| rule.dig("http", "paths").map { |path| path["backend"]["service"] } }
      service = find(objects, "Service", "shop-tidegate")

      expect(rules.map { |rule| [rule["host"], rule.dig("http", "paths").map { |path| path["path"] }] })
        .to eq([["shop.example.com", ["/"]], ["api.example.com", ["/v1", "/v2"]]])
      expect(backends.uniq).to eq(["name" => service.dig("metadata", "name"), "port" => { "name" => service.dig("spec", "ports", 0, "name") }])
    end

    it "migrates in a Job before the pods are replaced, once, in the app's own surroundings, and out of reach of its clients" do
      job = find(objects, "Job")
      pod = job.dig("spec", "template", "spec")
      app = pod_of(objects)
      labels = job.dig("spec", "template", "metadata", "labels")
      selectors = objects.select { |object| %w[Service PodDisruptionBudget Deployment].include?(object["kind"]) }
                         .map { |object| object["kind"] == "Service" ? object["spec"]["selector"] : object.dig("spec", "selector", "matchLabels") }

      expect(job.dig("metadata", "annotations", "helm.sh/hook")).to eq("pre-install,pre-upgrade")
      expect([job["spec"]["backoffLimit"], pod["restartPolicy"]]).to eq([0, "Never"])
      expect(pod["containers"][0]).to include("args" => %w[bin/rails db:migrate]).and include(container_of(objects).slice("image", "envFrom", "securityContext", "volumeMounts"))
      expect(pod.values_at("securityContext", "volumes", "imagePullSecrets")).to eq(app.values_at("securityContext", "volumes", "imagePullSecrets"))
      expect(selectors.size).to be > 3
      expect(selectors.select { |selector| selector <= labels }).to be_empty
    end

    it "makes the same autoscaler as the Kustomize component, but for the numbers" do
      other = find(kustomized("example"), "HorizontalPodAutoscaler")["spec"]
      spec = find(objects, "HorizontalPodAutoscaler")["spec"]

      expect(spec["behavior"]).to eq(other["behavior"])
      expect(spec["metrics"][0]["pods"]["metric"]).to eq(other["metrics"][0]["pods"]["metric"])
      expect(spec.values_at("maxReplicas", "minReplicas")).to eq([30, 2])
    end
  end

  it "replaces pods as it is told to, and refuses an ingress that leads from nowhere" do
    expect(find(rendered({ strategy: { type: "Recreate" } }), "Deployment").dig("spec", "strategy")).to eq("type" => "Recreate")
    expect(find(rendered({ strategy: { rollingUpdate: { maxSurge: "50%" } } }), "Deployment").dig("spec", "strategy"))
      .to eq("type" => "RollingUpdate", "rollingUpdate" => { "maxSurge" => "50%", "maxUnavailable" => 0 })
    { { ingress: { enabled: true } } => "ingress.hosts", { strategy: { type: "Rolling" } } => "strategy",
      { ingress: { hosts: [{ name: "a" }] } } => "host" }.each do |values, words|
      expect { rendered(values) }.to raise_error(Manifests::Refused, /#{words}/)
    end
  end

  it "is fine by helm lint, with nothing set and with everything" do
    expect { [lint, lint(everything)] }.not_to raise_error
  end

  it "prints the rule that the autoscaler needs, which is the one of deploy/kubernetes" do
    rule = File.read("#{Manifests::DEPLOY}/kubernetes/autoscaling/prometheus-adapter.yaml")

    expect(File.read("#{Manifests::CHART}/prometheus-adapter.yaml")).to eq(rule)
    expect(rendered_text({ autoscaling: { enabled: true } })).to include(rule[/metricsQuery.*/])
    expect(rendered_text).not_to include("metricsQuery")
  end

  it "refuses values that it does not have, and a grace of the server's alone" do
    { { replica: 3 } => "replica", { image: { tags: "1" } } => "tags", { terminationGracePeriodSeconds: "30s" } => "string",
      { options: { termination_grace: 5 } } => "termination_grace" }.each do |values, words|
      expect { rendered(values) }.to raise_error(Manifests::Refused, /#{words}/)
    end
  end

  it "sets the number of workers, and needs a CPU limit for auto" do
    cpus = { limits: { cpu: "2", memory: "1Gi" } }
    { { workers: 4 } => "4", { workers: "auto", resources: cpus } => "auto", { workers: 0 } => nil, {} => nil }.each do |values, number|
      objects = rendered(values)
      expect(env_of(objects)["WEB_CONCURRENCY"]).to eq(number)
      expect(faults(objects)).to eq([])
    end
    { { workers: "auto" } => "limits.cpu", { workers: "many" } => "workers", { workers: -1 } => "workers",
      { options: { workers: 2 } } => "workers" }.each do |values, words|
      expect { rendered(values) }.to raise_error(Manifests::Refused, /#{words}/)
    end
  end

  it "limits the volumes to what it is told" do
    volumes = pod_of(rendered({ sizeLimits: { tmp: "20Gi", writable: "512Mi" } })).fetch("volumes")

    expect(volumes.map { |volume| volume.dig("emptyDir", "sizeLimit") }).to eq(%w[20Gi 512Mi])
    expect { rendered({ sizeLimits: { tmp: "plenty" } }) }.to raise_error(Manifests::Refused, /tmp/)
  end

  it "keeps names short enough for Kubernetes" do
    names = rendered({ serviceMonitor: { enabled: true } }, release: "a" * 53).map { |object| object.dig("metadata", "name") }

    expect(names).to all(satisfy { |name| name.size <= 63 && name.match?(/\A[a-z0-9]([-a-z0-9]*[a-z0-9])?\z/) })
  end

  it "is found out when a template has a wrong field, or uses a value that is not there" do
    changed_chart("templates/deployment.yaml", "failureThreshold: 3", "failureTreshold: 3") do |chart|
      expect(faults(rendered({}, chart:))).to include(match(/Deployment.*failureTreshold/))
    end
    changed_chart("templates/service.yaml", ".Values.service.port", ".Values.service.prt") do |chart|
      expect(faults(rendered({}, chart:))).to include(match(/Service.*port/))
    end
    changed_chart("templates/service.yaml", "{{- end }}", "") do |chart|
      expect { rendered({}, chart:) }.to raise_error(Manifests::Refused, /service\.yaml/)
    end
  end
end
