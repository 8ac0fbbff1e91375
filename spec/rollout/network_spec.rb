# frozen_string_literal: true

require "open3"
require "rbconfig"
require "socket"
require_relative "../../bench/rollout/network"

# The network that root makes for the rig: apart from ours, with the delay that was asked for, and gone afterwards.
RSpec.describe "a network for rollouts", :needs do
  let(:networks) { [] }
  let(:servers) { [] }
  let(:answers) do
    <<~RUBY
      require "socket"
      server = TCPServer.new(ARGV[0], 7000)
      puts "ready"
      $stdout.flush
      loop { server.accept.then { |client| client.write(ARGV[1]) && client.close } }
    RUBY
  end
  let(:asks) do
    <<~RUBY
      require "socket"
      began_at = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      client = Socket.tcp(ARGV[0], 7000, connect_timeout: 10)
      took = Process.clock_gettime(Process::CLOCK_MONOTONIC) - began_at
      puts took, client.remote_address.ip_address, client.local_address.ip_address, client.read
    RUBY
  end

  after do
    servers.each(&:stop)
    networks.each(&:stop)
  end

  def network(**)
    needing_root { Rollout::Network.new(**) }.tap { |made| networks << made }
  end

  # A server in that network, as a pod, that answers with a word.
  def answering(network, word, number: 7)
    command = [*network.inside(:pods), RbConfig.ruby, "-e", answers, network.pod_host(number), word]
    Rig::Child.new(command, name: word).tap do |server|
      servers << server
      expect(server.wait_for_line(/ready/, within: Patience::SECONDS)).to be(true), server.output.join("\n")
    end
  end

  # Asks a pod from the clients' side: seconds until the connection was there, both addresses, and the word.
  def ask(network, number: 7)
    out, status = Open3.capture2e(*network.inside(:clients), RbConfig.ruby, "-e", asks, network.pod_host(number))
    expect(status).to be_success, out
    took, *others = out.lines(chomp: true)
    [took.to_f, *others]
  end

  def namespaces = Open3.capture2("ip", "netns", "list", err: File::NULL).first.scan(/^tidegate-\S+/)

  def own(network) = %i[pods clients].map { |side| network.inside(side).last }

  it "is on loopback addresses that no other process sees, without a delay" do
    near = network
    answering(near, "near")

    expect(near.inside(:pods)).to eq(near.inside(:clients))
    expect(ask(near).drop(1)).to eq(["127.0.1.7", "127.0.0.1", "near"])
    expect { TCPSocket.new(near.pod_host(7), 7000) }.to raise_error(Errno::ECONNREFUSED)
  end

  it "has pods and clients on two sides, with a delay" do
    far = network(delay: 0.004)
    answering(far, "far")
    took, pod, client, word = ask(far)

    expect([pod, client, word]).to eq([far.pod_host(7), far.client_host, "far"])
    expect(took).to be >= 0.008 # a round trip
  end

  it "may be there several times, with the same addresses" do
    made = %w[one two].map { |word| network(delay: 0.001).tap { |it| answering(it, word) } }

    expect(made.map { |it| ask(it).last }).to eq(%w[one two])
    expect(made.map(&:client_host).uniq.size).to eq(1)
  end

  it "carries answers of many packets" do
    far = network(delay: 0.001)
    answering(far, "x" * 100_000)

    expect(ask(far).last.bytesize).to eq(100_000)
  end

  it "can lose the pods' end of its link" do
    far = network(delay: 0.001)
    far.unplug
    links, = Open3.capture2(*far.inside(:pods), "ip", "-brief", "link")
    others, = Open3.capture2(*far.inside(:clients), "ip", "-brief", "link")

    expect(links).not_to include("wire")
    expect(others).to include("wire")
    far.stop
    expect(namespaces & own(far)).to be_empty
  end

  it "is gone after its stop, with what ran in it" do
    made = [network, network(delay: 0.001)]
    left = made.map { |it| answering(it, "left") }
    expect(namespaces).to include(*made.flat_map { |it| own(it) })
    made.each(&:stop)

    expect(left.map { |server| server.wait(within: Patience::SECONDS)&.termsig }).to eq([9, 9])
    expect(namespaces & made.flat_map { |it| own(it) }).to be_empty
  end

  it "is gone after the process that had it was killed" do
    needing_root { Rollout::Network.new.stop }
    program = "require #{File.expand_path('../../bench/rollout/network', __dir__).dump}; " \
              "puts Rollout::Network.new(delay: 0.001).inside(:pods).last; $stdout.flush; sleep"
    process = IO.popen([RbConfig.ruby, "-e", program])
    name = process.gets(chomp: true)
    expect(namespaces).to include(name, name.sub("pods", "clients"))
    Process.kill(:KILL, process.pid)

    Patience.until_true("the namespaces to go") { (namespaces & [name, name.sub("pods", "clients")]).empty? }
  ensure
    process&.close
  end

  it "says who makes it, to those who cannot" do
    allow(Process).to receive(:euid).and_return(1000)

    expect { Rollout::Network.new }.to raise_error(Rig::Missing, /made by root/)
  end
end
