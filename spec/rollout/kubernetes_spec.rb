# frozen_string_literal: true

require "stringio"
require_relative "../../bench/rollout/command"

# bin/rollout --kubernetes, with a stand-in for kubectl and the real clients.
RSpec.describe Rollout::Kubernetes::Command, :in_process do
  around { |example| Dir.mktmpdir("tidegate-kubectl") { |directory| (@state = directory) && example.run } }

  # A server that answers with +status+ from the moment when it is rolled, and notes that clients have got that.
  def roll(status, *more, **env)
    rolling, noticed = File.join(@state, "rolling"), File.join(@state, "noticed")
    server = run_server do |_|
      next [200, {}, ["x"]] unless File.exist?(rolling)

      File.write(noticed, "")
      [status, {}, ["x"]]
    end
    target = server.addresses.first.sub("tcp://", "http://")
    command(*more, **env, STATE: @state, TARGET: "#{target}/")
  end

  # The exit status and what was printed.
  def command(*more, **env)
    out, err = StringIO.new, StringIO.new
    env = { KUBECTL: File.join(ServerProcess::FIXTURES, "stand_in_kubectl.rb"), REFUSED: nil, RUBYOPT: nil, **env }.transform_keys(&:to_s)
    before = ENV.to_h.slice(*env.keys)
    ENV.update(env)
    [described_class.new(["--kubernetes", "prod", "--namespace", "web", "--deployment", "shop", "--clients", "4", *more], out:, err:).call, out.string, err.string]
  ensure
    ENV.update(env.keys.to_h { |name| [name, before[name]] })
  end

  def calls = File.readlines(File.join(@state, "calls"), chomp: true).map { |line| line.delete_prefix("--context prod --namespace web ") }

  it "rolls the Deployment under clients in the cluster, and tells what they saw" do
    status, out, err = roll(200, "--rolls", "2")

    expect(out).to match(/\A2 rolls of shop, .* s each: [1-9]\d* requests, 0 failed, the slowest took \d+\.\d s\n\z/)
    expect(err.lines.size).to eq(2)
    expect(status).to eq(0)
    name = calls.find { |call| call.start_with?("delete job") }.split[2]
    restart = ["rollout restart deployment/shop", "rollout status deployment/shop --timeout=300s", "wait --for=delete pod/shop-a pod/shop-b --timeout=300s"]
    expect(calls - ["logs --follow job/#{name}"])
      .to eq(["get deployment shop -o json", "get service shop -o json", "apply -f -", "wait --for=jsonpath={.status.ready}=1 job/#{name} --timeout=180s",
              *["get pods -l app=shop -o json", *restart] * 2, "delete job #{name} --wait=false", "delete configmap #{name}"])
  end

  it "fails where a request has failed, and says how" do
    status, out, = roll(503, "--rolls", "1")

    expect(status).to eq(1)
    expect(out).to match(/ [1-9]\d* failed/).and match(/^ +[1-9]\d*  status 503$/)
  end

  it "takes the clients away again where the cluster refuses, and says what it said" do
    status, out, err = roll(200, REFUSED: "yes")

    expect([status, out]).to eq([2, ""])
    expect(err).to eq("rollout: kubectl rollout restart deployment/shop: error: deployments.apps is forbidden\n")
    expect(calls.last(2)).to match([/\Adelete job/, /\Adelete configmap/])
  end

  it "says what it would do, with the objects, and asks kubectl for nothing" do
    status, out, = command("--dry-run", "--image", "ruby:3.4", "--port", "80", KUBECTL: "/nowhere/kubectl")

    expect(status).to eq(0)
    expect(out).to include("/nowhere/kubectl --context prod --namespace web apply -f - <<END", "rollout restart deployment/shop",
                           '"image": "ruby:3.4"', "http://shop.web:80/")
  end

  # kubectl reads all of a command before it asks the cluster, which is not there; not even --dry-run=client does without one.
  it "gives kubectl nothing that it does not know", :manifests do
    _, out, = command("--dry-run", "--image", "ruby:3.4", "--port", "80", KUBECTL: "kubectl")
    commands = out.lines(chomp: true).grep(/^kubectl /).map { |line| line.delete_suffix(" <<END").split.drop(1) }
    nowhere = TCPServer.open("127.0.0.1", 0) { |server| "http://127.0.0.1:#{server.local_address.ip_port}" }
    File.write("#{@state}/config", JSON.generate(clusters: [{ name: "c", cluster: { server: nowhere } }],
                                                 contexts: [{ name: "prod", context: { cluster: "c" } }]))
    objects = Rollout::Kubernetes::Job.new(url: "http://shop/", clients: 1, image: "ruby").to_json
    run = ->(words) { Open3.capture2e({ "KUBECONFIG" => "#{@state}/config" }, "#{tools}/kubectl", *words, stdin_data: objects).first }
    said = commands.uniq.to_h { |words| [words.drop(4).join(" "), run.(words)] }

    verbs = ["get", "apply", "wait --for=jsonpath", "logs", "rollout restart", "rollout status", "wait --for=delete", "delete job", "delete configmap"]
    expect(verbs.reject { |verb| said.keys.any? { |words| words.start_with?(verb) } }).to eq([])
    expect(said.reject { |_, answer| answer.include?("connection refused") }).to eq({})
    expect(run.(%w[rollout restart deployment/shop --gently])).to include("unknown flag: --gently")
  end

  it "makes objects that Kubernetes takes, whose pod may do nothing in the cluster", :manifests do
    objects = JSON.parse(Rollout::Kubernetes::Job.new(url: "http://shop.web:80/", clients: 4, image: "ruby:3.4").to_json)["items"]
    pod = objects.last.dig("spec", "template", "spec")

    expect(faults(objects)).to eq([])
    expect(pod["automountServiceAccountToken"]).to be(false)
    expect(pod["containers"][0]["securityContext"]).to include("readOnlyRootFilesystem" => true, "capabilities" => { "drop" => ["ALL"] })
  end
end
