# frozen_string_literal: true

require "json"

module Rollout
  module Kubernetes
    # The objects of the clients: a Job with one pod, and the script for it. The pod needs Ruby and nothing else, and no right in the cluster.
    class Job
      SCRIPT = File.expand_path("clients.rb", __dir__)
      # Seconds after which it ends by itself, should it not be deleted.
      DEADLINE = 3 * 3600

      attr_reader :name

      def initialize(url:, clients:, image:, pull_secrets: [])
        @url = url
        @clients = clients
        @image = image
        @pull_secrets = pull_secrets
        @name = "tidegate-rollout-#{rand(36**5).to_s(36).rjust(5, "0")}"
      end

      def to_json(*) = JSON.pretty_generate({ apiVersion: "v1", kind: "List", items: [script, job] })

      private

      def script = { apiVersion: "v1", kind: "ConfigMap", metadata:, data: { "clients.rb" => File.read(SCRIPT) } }

      def job
        { apiVersion: "batch/v1", kind: "Job", metadata:,
          spec: { backoffLimit: 0, activeDeadlineSeconds: DEADLINE, template: { metadata: { labels: }, spec: pod } } }
      end

      def pod
        { restartPolicy: "Never", automountServiceAccountToken: false, terminationGracePeriodSeconds: 90, imagePullSecrets: @pull_secrets,
          securityContext: { runAsNonRoot: true, runAsUser: 65_534, runAsGroup: 65_534, seccompProfile: { type: "RuntimeDefault" } },
          containers: [container], volumes: [{ name: "script", configMap: { name: } }] }
      end

      def container
        { name: "clients", image: @image, command: ["ruby", "--disable-gems", "/clients/clients.rb", @url, @clients.to_s],
          env: [{ name: "RUBYOPT", value: "" }], workingDir: "/",
          resources: { requests: { cpu: "100m", memory: "64Mi" }, limits: { memory: "256Mi" } },
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
          volumeMounts: [{ name: "script", mountPath: "/clients", readOnly: true }] }
      end

      def metadata = { name:, labels: }

      def labels = { "app.kubernetes.io/name": "tidegate-rollout", "app.kubernetes.io/instance": name }
    end
  end
end
