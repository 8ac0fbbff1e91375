# frozen_string_literal: true

require_relative "../../../bench/comparison/settings"

RSpec.describe Comparison::Settings do
  def parse(*argv) = described_class.parse(argv)

  it "compares all servers on hello unless told otherwise" do
    expect(parse).to have_attributes(servers: %w[tidegate tidegate:1 core hyper puma8 puma falcon itsi iodine agoo pitchfork unicorn passenger webrick],
                                     workloads: ["hello"], baseline: "puma8", rounds: 5, threads: nil, counts: [1, 2, 5, 16, 32, 64], syscalls: true, plots: [])
  end

  it "takes workloads, servers with their own thread count or path, and commands" do
    settings = parse("--workload", "hello,mixed", "--servers", "tidegate:0:4000,puma8:16,falcon=/opt/gems", "--server", "mine=run {host} {port} {app}")
    expect(settings.workloads).to eq %w[hello mixed]
    expect(settings.servers).to eq ["tidegate:0:4000", "puma8:16", "falcon=/opt/gems", "mine=run {host} {port} {app}"]
    expect(settings.baseline).to eq "puma8:16"
  end

  it "compares with a Puma that was given by its path by its name" do
    expect(parse("--servers", "tidegate,puma=/opt/puma").baseline).to eq "puma"
  end

  it "puts a command beside the usual ones" do
    expect(parse("--server", "mine=run {port}").servers).to include("tidegate", "puma8", "mine=run {port}")
  end

  it "has all workloads, and only the servers that the bar needs" do
    expect(parse("--all").workloads).to eq Comparison::Workload.names
    expect(parse("--bar", "--workload", "json").workloads).to eq ["json"]
    expect(parse("--bar")).to have_attributes(workloads: Comparison::Bar.workloads, servers: %w[tidegate tidegate:1 core hyper puma8 falcon agoo])
  end

  it "is quick when told" do
    expect(parse("--quick")).to have_attributes(rounds: 1, seconds: 1, warm_up: 1, counts: [5, 16], syscalls: false, settle: 1)
    expect(parse("--quick", "--rounds", "2").rounds).to eq 2
  end

  it "runs one process of each, or so many workers, with a proxy before them or not" do
    expect(parse).to have_attributes(workers: nil, how: "one process", processes: 1)
    settings = parse("--workers", "4", "--haproxy", "--servers", "tidegate:5,tidegate-tied,puma8:5")
    expect(settings).to have_attributes(workers: 4, how: "4 workers, through HAProxy", servers: %w[tidegate:5 tidegate-tied puma8:5], processes: 4)
  end

  it "draws pictures of mixed and sinatra, or of what was asked for" do
    expect(parse("--plot")).to have_attributes(plots: %w[latency threads memory], workloads: %w[mixed sinatra], out: "plots")
    expect(parse("--plot", "threads", "--workload", "json", "--out", "docs/performance")).to have_attributes(plots: ["threads"], workloads: ["json"], out: "docs/performance")
  end

  it "runs all servers on one Ruby, and says which where it is not the usual one" do
    expect(parse.ruby).to be Rig::Interpreter.default
    settings = parse("--ruby", RbConfig.ruby, "--yjit")
    expect(settings.ruby.path).to eq RbConfig.ruby
    expect(settings.ruby.env).to include("RUBY_YJIT_ENABLE" => "1")
    expect(settings.how).to eq "one process, #{settings.ruby.description}"
    expect(settings.to_h[:ruby]).to start_with "ruby #{RUBY_VERSION}"
  end

  it "refuses what makes no sense" do
    [%w[--rounds 0], %w[--workers 0], %w[--workload nothing], %w[--servers tidegate,nginx], %w[--servers tidegate,nginx=/bin], %w[--baseline puma6], %w[more],
     %w[--counts 0], %w[--plot colours], %w[--settle 0]].each do |argv|
      expect { parse(*argv) }.to raise_error(OptionParser::ParseError), argv.inspect
    end
  end
end
