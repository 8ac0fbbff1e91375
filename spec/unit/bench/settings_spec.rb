# frozen_string_literal: true

require_relative "../../../bench/comparison/settings"

RSpec.describe Comparison::Settings do
  def parse(*argv) = described_class.parse(argv)

  it "compares all servers on hello unless told otherwise" do
    expect(parse).to have_attributes(servers: %w[tidegate puma8 puma unicorn passenger], workloads: ["hello"], baseline: "puma8",
                                     rounds: 5, threads: nil, counts: [1, 2, 5, 16, 32, 64], syscalls: true)
  end

  it "takes workloads, servers with their own thread count, and commands" do
    settings = parse("--workload", "hello,mixed", "--servers", "tidegate,puma8:16", "--server", "mine=run {host} {port} {app}")
    expect(settings.workloads).to eq %w[hello mixed]
    expect(settings.servers).to eq ["tidegate", "puma8:16", "mine=run {host} {port} {app}"]
  end

  it "puts a command beside the usual ones" do
    expect(parse("--server", "mine=run {port}").servers).to include("tidegate", "puma8", "mine=run {port}")
  end

  it "has all workloads, and only the servers that the bar needs" do
    expect(parse("--all").workloads).to eq Comparison::Workload.names
    expect(parse("--bar")).to have_attributes(workloads: [], servers: %w[tidegate puma8])
  end

  it "is quick when told" do
    expect(parse("--quick")).to have_attributes(rounds: 1, seconds: 1, warm_up: 1, counts: [5, 16], syscalls: false)
    expect(parse("--quick", "--rounds", "2").rounds).to eq 2
  end

  it "runs one process of each, or so many workers, with a proxy before them or not" do
    expect(parse).to have_attributes(workers: nil, how: "one process")
    settings = parse("--workers", "4", "--haproxy", "--servers", "tidegate:5,tidegate-tied,puma8:5")
    expect(settings).to have_attributes(workers: 4, how: "4 workers, through HAProxy", servers: %w[tidegate:5 tidegate-tied puma8:5])
  end

  it "refuses what makes no sense" do
    [%w[--rounds 0], %w[--workers 0], %w[--workload nothing], %w[--servers tidegate,nginx], %w[--baseline puma6], %w[more], %w[--counts 0]].each do |argv|
      expect { parse(*argv) }.to raise_error(OptionParser::ParseError), argv.inspect
    end
  end
end
