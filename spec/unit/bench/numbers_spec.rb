# frozen_string_literal: true

require "rbconfig"
require_relative "../../../bench/comparison/calibration"
require_relative "../../../bench/comparison/syscalls"
require_relative "../../../bench/comparison/usage"
require_relative "../../../bench/comparison/workload"

RSpec.describe "What bench/run reads" do
  describe Comparison::Syscalls do
    it "finds the count of perf" do
      text = "# started on Wed Nov 25 11:08:00 2026\n\n48211,,raw_syscalls:sys_enter,5002113402,100.00,,\n"
      expect(described_class.from_perf(text)).to eq 48_211
      expect(described_class.from_perf("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n")).to be_nil
    end

    it "finds the sum of strace" do
      text = "    calls syscall\n--------- ----------------\n       34 openat\n--------- ----------------\n      144 total\n"
      expect(described_class.from_strace(text)).to eq 144
      expect(described_class.from_strace("")).to be_nil
    end
  end

  describe Comparison::Usage do
    # A process with a child, each of which says a line when it has computed, and then waits.
    def family
      code = '$stdout.sync = true; work = -> { 300_000.times { |n| n.to_s } }; ' \
             'c = fork { work.call; puts "child"; $stdin.read }; work.call; puts "parent"; $stdin.read; Process.wait(c)'
      IO.popen([RbConfig.ruby, "-e", code], "r+") do |io|
        2.times { io.gets }
        yield io.pid
      end
    end

    it "sees the CPU, the memory and the context switches of a process and its children" do
      family do |pid|
        usage = described_class.new(pid)
        expect(usage.tree.size).to eq 2
        expect(usage.cpu).to be > Process.clock_gettime((~pid << 3) | 2)
        expect(usage.pss).to be > 1
        expect(usage.peak).to be >= usage.pss
        expect(usage.switches.keys).to include(*usage.tree.map(&:to_s))
      end
    end

    it "counts the context switches since then, of new threads from nought" do
      expect(described_class.switched({ "1" => [10, 1], "2" => [5, 5] }, { "1" => [15, 1], "3" => [2, 4] })).to eq [7, 4]
    end
  end

  describe Comparison::Workload do
    it "finds every file of bench/workloads, with an app that is there and clients that bench/load knows" do
      known = %w[name connections method path headers body_bytes keep_alive rate pause mix tls resume]
      described_class.names.each do |name|
        workload = described_class.find(name)
        named = workload.best_by.grep(/\./).map { |number| number.split(".").first }

        expect(File).to exist(workload.app), name
        expect(workload.clients.flat_map(&:keys) - known).to be_empty, name
        expect(workload.summary).not_to be_empty
        groups = workload.clients.flat_map { |client| [client["name"], *client["mix"]&.map { |kind| kind["name"] }] }
        expect(named - groups).to be_empty, name
      end
    end

    it "gives connections to those clients that do not say how many they have" do
      expect(described_class.find("hello", connections: 7).clients.first["connections"]).to eq 7
      expect(described_class.find("mixed", connections: 7).clients.map { |client| client["connections"] }).to eq [8, 16]
    end

    it "knows one request of each kind, and how long the app waits in it" do
      balance = described_class.find("balance-sleep")
      expect(balance.requests.map { |request| request.values_at("name", "method", "path") }).to eq [%w[small GET /], %w[slow GET /sleep]]
      expect(balance.sleeps).to eq("/sleep" => 500)
      expect(described_class.find("post").requests).to eq [{ "name" => "all", "method" => "POST", "path" => "/", "body_bytes" => 1024,
                                                             "headers" => { "Content-Type" => "application/octet-stream" } }]
    end

    it "has clients that come later, and turns that are longer" do
      waiting = described_class.find("waiting")
      expect(waiting.first_clients.map { |client| client["name"] }).to eq ["small"]
      expect(waiting).to be_without
      expect([waiting.seconds(5), waiting.seconds(30)]).to eq [15, 30]
      expect(described_class.find("mixed")).not_to be_without
    end

    it "refuses what it does not know" do
      expect { described_class.new("new", { "app" => "hello.ru", "colour" => 1 }) }.to raise_error(Rig::Unavailable, /colour/)
      expect { described_class.find("nothing") }.to raise_error(Rig::Unavailable, /no workload "nothing": .*hello/)
    end
  end

  it "finds out how much work a millisecond is" do
    expect(Comparison::Calibration.per_ms).to be > 100
  end
end
