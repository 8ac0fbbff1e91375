# frozen_string_literal: true

# For specs of deploy/: renders the manifests with Kustomize and Helm, and checks objects against the published schemas.
# The programs are those of bin/manifest-tools.

require "json"
require "open3"
require "yaml"

module Manifests
  ROOT = File.expand_path("../..", __dir__)
  DEPLOY = File.join(ROOT, "deploy")
  CHART = File.join(DEPLOY, "helm/tidegate")
  # The oldest that the chart allows, and the newest that there is a schema of.
  VERSIONS = %w[1.27 1.37].freeze

  # What Helm or Kustomize would not take, in its words.
  Refused = Class.new(StandardError)

  # Skips the example where the programs were not fetched; never in CI on Linux, where bin/setup fetches them.
  def tools
    @tools ||= begin
      output, status = Open3.capture2("#{ROOT}/bin/manifest-tools", "--cached")
      unless status.success?
        raise "bin/manifest-tools has fetched nothing" if ENV["CI"] == "true" && RUBY_PLATFORM.include?("linux")

        skip "bin/manifest-tools has not been run: there is nothing to check the manifests with"
      end
      output.chomp
    end
  end

  # The objects of a directory with a kustomization.yaml; absolute, or below deploy/kubernetes.
  def kustomized(directory)
    documents(out_of("#{tools}/kubectl", "kustomize", File.expand_path(directory, "#{DEPLOY}/kubernetes")))
  end

  # The objects that the chart makes of these values.
  def rendered(values = {}, chart: CHART, release: "shop")
    documents(rendered_text(values, chart:, release:))
  end

  def rendered_text(values = {}, chart: CHART, release: "shop")
    out_of("#{tools}/python", "#{ROOT}/spec/deploy/render_chart.py", chart, release, "prod", stdin: JSON.generate(values))
  end

  def lint(values = {}, chart: CHART)
    out_of("#{tools}/python", "#{ROOT}/spec/deploy/render_chart.py", "--lint", chart, "prod", stdin: JSON.generate(values))
  end

  # What is wrong with these objects, a line each.
  def faults(objects)
    output, = Open3.capture2("#{tools}/python", "#{ROOT}/spec/deploy/check_manifests.py", *VERSIONS,
                             stdin_data: objects.map { |object| YAML.dump(object) }.join)
    output.lines(chomp: true)
  end

  def find(objects, kind, name = nil)
    found = objects.select { |object| object["kind"] == kind && (name.nil? || object.dig("metadata", "name") == name) }
    raise "#{found.size} objects are #{kind} #{name}" unless found.size == 1

    found.first
  end

  def pod_of(objects) = find(objects, "Deployment").dig("spec", "template", "spec")

  def container_of(objects) = pod_of(objects).fetch("containers").fetch(0)

  # NAME => value of the app's environment.
  def env_of(objects) = container_of(objects).fetch("env").to_h { |entry| [entry.fetch("name"), entry["value"]] }

  private

  def documents(text) = YAML.load_stream(text).compact

  def out_of(*command, stdin: "")
    output, errors, status = Open3.capture3(*command, stdin_data: stdin)
    raise Refused, output + errors unless status.success?

    output
  end
end

RSpec.configure { |config| config.include Manifests, :manifests }
