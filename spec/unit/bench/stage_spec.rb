# frozen_string_literal: true

require "net/http"
require "rbconfig"
require_relative "../../../bench/comparison/contestants"
require_relative "../../../bench/comparison/stage"
require_relative "../../../bench/comparison/workload"

RSpec.describe Comparison::Stage do
  # A server that answers every request, and says a last word and ends when it is asked for /end.
  script = <<~'RUBY'
    require "socket"
    server = TCPServer.new(ARGV[0], Integer(ARGV[1]))
    loop do
      peer = server.accept
      path = peer.gets.to_s.split[1]
      (puts "a last word"; exit 3) if path == "/end"
      peer.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi")
      peer.close
    end
  RUBY

  let(:kind) { Rig::Kind.new("brief", [RbConfig.ruby, "-e", script, "{host}", "{port}"], nil, {}) }
  let(:contestant) { Comparison::Contestant.new("brief", kind) }
  let(:workload) do
    Comparison::Workload.new("mine", { "app" => "app.ru", "clients" => { "small" => {}, "late" => { "path" => "/late" } }, "without" => ["late"], "settle" => 60 })
  end
  let(:asked) { [] }

  # Clients that are all answered; the block is called with each measurement.
  def generator(&block)
    instance_double(Comparison::Generator).tap do |generator|
      allow(generator).to receive(:measure) do |address, clients, **|
        asked << clients.map { |client| client["name"] }
        block&.call(address)
        clients.to_h { |client| [client["name"], Comparison::Sample.new(finished: 10, rate: 10.0, p50: 1.0, p99: asked.size.to_f, errors: 0)] }
      end
    end
  end

  it "measures the first clients alone, then all, and the memory before, after and when it has settled" do
    turn = described_class.new(workload, generator: generator, warm_up: 1, settle: 0).turn(contestant, 2, seconds: 1)

    expect(asked).to eq [["small"], ["small"], %w[small late]]
    expect(turn).to have_attributes(server: "brief", round: 2, p99_without: 2.0)
    expect(turn.value("p99_growth")).to eq 1.5
    expect([turn.fresh, turn.pss, turn.settled, turn.peak]).to all(be > 1)
    expect([turn.cpu, turn.switches, turn.voluntary]).to all(be >= 0)
    expect(turn.voluntary).to be <= turn.switches
  end

  it "measures all at once in a search" do
    turn = described_class.new(workload, generator: generator, warm_up: 1).turn(contestant, 0, seconds: 1, whole: false)
    expect(asked).to eq [["small"], %w[small late]]
    expect(turn).to have_attributes(p99_without: nil, settled: nil)
  end

  it "says so where the server has ended under the load, and what it said last" do
    started = nil
    allow(kind).to receive(:start).and_wrap_original { |start, **more| started = start.call(**more) }
    ending = generator do |address|
      next if asked.size < 3

      Net::HTTP.get_response(URI("http://#{address}/end")) rescue nil # rubocop:disable Style/RescueModifier
      started.child.wait(within: 20)
    end

    expect { described_class.new(workload, generator: ending, warm_up: 1).turn(contestant, 1, seconds: 1) }
      .to raise_error(Rig::Unavailable, "brief has ended under the load (exit 3): a last word")
  end

  # The whole run ended in a backtrace of Net::HTTP.
  it "says so where the server has ended at the first request" do
    broken = Comparison::Workload.new("mine", { "app" => "app.ru", "clients" => { "small" => { "path" => "/end" } } })

    expect { described_class.new(broken, generator: generator, warm_up: 1).turn(contestant, 1, seconds: 1) }
      .to raise_error(Rig::Unavailable, /\Abrief does not answer \(.+\): a last word\z/)
  end
end
