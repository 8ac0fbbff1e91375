# frozen_string_literal: true

# Uploads of forms in a pod. The kubelet makes an emptyDir with mode 0777, or 2777 where the pod has an fsGroup, without a
# sticky bit: Ruby takes no such directory for temporary files, and with the rest read-only there is no other. Every upload was
# a 500 with the manifests as they were.

require "yaml"

RSpec.describe "the temporary directory of a pod", :processes do
  # Where the repository is seen in the pod: the volume may hide where it is.
  repository = "/mnt"

  # From the shell on: a volume of mode $0 at /tmp, and all else read-only.
  mounting = "mount --bind #{ServerProcess::ROOT} #{repository} && mount -t tmpfs -o mode=$0,size=64m tmpfs /tmp && " \
             "mount -o remount,bind,ro #{repository} && mount -o remount,bind,ro / && cd #{repository} && exec \"$@\""

  # As root, and as a user who may make namespaces; the last word is the user of the image.
  ways = [[%w[unshare --mount --propagation private], %w[setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs]],
          [%w[unshare --user --map-root-user --mount], %w[unshare --user --map-user=10001 --map-group=10001]]].freeze

  # The command that runs another in such a pod; pending where the kernel allows none.
  define_method(:pod) do |mode|
    skip "the volume would hide Ruby, which is below /tmp" if RbConfig.ruby.start_with?("/tmp/")

    way = ways.find do |outer, inner|
      system(*outer, "sh", "-c", mounting, "0777", *inner, "true", out: File::NULL, err: File::NULL)
    end
    return [*way.first, "sh", "-c", mounting, mode, *way.last] if way

    ENV["CI"] == "true" && Process.uid.zero? ? raise("no mounts can be made here") : skip("no mounts can be made here")
  end

  define_method(:serve_in_pod) do |mode, env|
    command = [RbConfig.ruby, "-I#{repository}/lib", "#{repository}/exe/tidegate", *ProcessHelpers::USUAL,
               "#{repository}/spec/fixtures/form.ru"].map(&:to_s)
    track(ServerProcess.new([*pod(mode), *command], env: { "RACK_ENV" => "production", "HOME" => "/", "TMPDIR" => nil, **env })).ready
  end

  def env_of_manifests
    deployment = YAML.load_file("#{ServerProcess::ROOT}/deploy/kubernetes/base/deployment.yaml")
    deployment.dig("spec", "template", "spec", "containers", 0, "env").to_h { |entry| entry.values_at("name", "value") }
  end

  def upload(server, size)
    body = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n#{"a" * size}\r\n--x--\r\n"
    server.connect { |wire| wire.post("/", body, "content-type" => "multipart/form-data; boundary=x") }
  end

  %w[0777 2777].each do |mode|
    it "is one of the user's own with the manifests' environment, on a volume of mode #{mode}" do
      server = serve_in_pod(mode, env_of_manifests.slice("TMPDIR"))

      # A small form waits in memory before, a large one in a file.
      [10, 500_000].each do |size|
        answer = upload(server, size)
        expect([answer.status, answer.body]).to eq([200, "#{size} bytes in /tmp/app, mode 700\n"])
      end
      expect(server.output).to include("tidegate: made /tmp/app (TMPDIR) with mode 0700\n")
      expect(server.stderr.to_s).to eq("")
    end

    it "is missing without it, which the boot says in one line, on a volume of mode #{mode}" do
      server = serve_in_pod(mode, {})
      complaint = server.stderr.to_s

      expect(complaint).to match(/\Atidegate: no temporary directory can be used, so that every upload of a form will fail: .*\n\z/)
      expect(complaint).to include("/tmp is world-writable without the sticky bit, which Ruby refuses", "Set TMPDIR to a directory")
      expect(upload(server, 10).status).to eq(500)
      server.wait_for_line(/could not find a temporary directory/)
      # The body itself has a place: it is the app that finds none.
      expect(upload(server, 500_000).status).to eq(500)
    end
  end
end
