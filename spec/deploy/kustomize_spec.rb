# frozen_string_literal: true

require "tmpdir"

# The plain manifests and their Kustomize base, as a team would apply them.
RSpec.describe "deploy/kubernetes", :manifests do
  # A copy of it, with an overlay of these lines in its directory `mine`.
  def overlay(text)
    Dir.mktmpdir("tidegate-kustomize") do |directory|
      FileUtils.cp_r("#{Manifests::DEPLOY}/kubernetes/.", directory)
      FileUtils.mkdir("#{directory}/mine")
      File.write("#{directory}/mine/kustomization.yaml", text)
      kustomized("#{directory}/mine")
    end
  end

  def changed(objects, kind)
    copy = Marshal.load(Marshal.dump(objects))
    yield find(copy, kind)
    copy
  end

  context "with the base alone" do
    before(:context) { @objects = kustomized("base") }

    attr_reader :objects

    it_behaves_like "objects for a server that drains"

    it "says the same in the files themselves, for those who use no Kustomize" do
      files = Dir["#{Manifests::DEPLOY}/kubernetes/base/*.yaml"].reject { |file| file.end_with?("kustomization.yaml") }

      expect(files.flat_map { |file| YAML.load_stream(File.read(file)) }).to match_array(objects)
    end

    it "names only options that the server has" do
      known = Tidegate::Configuration::OPTIONS.values.flat_map(&:envs)

      expect(env_of(objects).keys - known - ["TMPDIR"]).to be_empty
    end
  end

  context "with the example's overlay" do
    before(:context) { @objects = kustomized("example") }

    attr_reader :objects

    it_behaves_like "objects for a server that drains"
    it_behaves_like "objects that are measured and scaled"

    it "has a grace of its own, which reaches the server" do
      expect(pod_of(objects)["terminationGracePeriodSeconds"]).to eq(60)
    end

    it "keeps apart from another app of the same base in the same namespace" do
      selectors = objects.flat_map { |object| [object.dig("spec", "selector", "matchLabels"), object.dig("spec", "selector")] }
      selectors = selectors.compact.reject { |selector| selector.key?("matchLabels") }

      expect(selectors.size).to be >= 5
      expect(selectors).to all(include("app.kubernetes.io/instance" => "shop"))
    end
  end

  it "would leave the server with another number than the platform's, were it not for ../termination" do
    patch = <<~YAML
      apiVersion: kustomize.config.k8s.io/v1beta1
      kind: Kustomization
      resources: [../base]
      patches:
        - target: {kind: Deployment}
          patch: |-
            - op: replace
              path: /spec/template/spec/terminationGracePeriodSeconds
              value: 45
    YAML

    expect(env_of(overlay(patch))["TIDEGATE_TERMINATION_GRACE"]).to eq("30")
    expect(env_of(overlay("#{patch}transformers: [../termination]\n"))["TIDEGATE_TERMINATION_GRACE"]).to eq("45")
  end

  # What is done to one object of the example, and what has to be said about it then.
  mistakes = {
    "a misspelt field" => ["Deployment", /readynessProbe/, ->(one) { container(one)["readynessProbe"] = {} }],
    "a misspelt field of a probe" => ["Deployment", /pth/, ->(one) { container(one)["livenessProbe"]["httpGet"]["pth"] = "/" }],
    "a string for a number" =>
      ["Deployment", /terminationGracePeriodSeconds/, ->(one) { pod(one)["terminationGracePeriodSeconds"] = "30" }],
    "a number for a string" => ["Deployment", /env/, ->(one) { container(one)["env"][0]["value"] = 9292 }],
    "no containers" => ["Deployment", /'containers' is a required property/, ->(one) { pod(one).delete("containers") }],
    "a version of the API that is gone" =>
      ["PodDisruptionBudget", /find schema/, ->(one) { one["apiVersion"] = "policy/v1beta1" }],
    "a field in the wrong place" =>
      ["HorizontalPodAutoscaler", /target/, ->(one) { one["spec"]["target"] = { "type" => "Value" } }],
    "a misspelt field of an endpoint" => ["ServiceMonitor", /pth/, ->(one) { one["spec"]["endpoints"][0]["pth"] = "/metrics" }],
    "no selector" => ["ServiceMonitor", /selector/, ->(one) { one["spec"].delete("selector") }]
  }.freeze

  def self.pod(deployment) = deployment.dig("spec", "template", "spec")

  def self.container(deployment) = pod(deployment).dig("containers", 0)

  it "is found out when an object has a wrong field, a wrong value, or lacks one" do
    good = kustomized("example")
    bad = mistakes.each_with_index.map do |(_, (kind, _, change)), index|
      copy = Marshal.load(Marshal.dump(find(good, kind)))
      copy["metadata"]["name"] = "mistake-#{index}"
      self.class.instance_exec(copy, &change)
      copy
    end
    found = faults(bad)

    mistakes.each_with_index do |(what, (kind, words, _)), index|
      expect(found.grep(%r{\A#{kind}/mistake-#{index} })).to include(match(words)), "#{what} in #{kind} went unnoticed: #{found}"
    end
  end
end
