# frozen_string_literal: true

require "stringio"

RSpec.describe Tidegate::CLI do
  let(:out) { StringIO.new }
  let(:err) { StringIO.new }

  def parse(*argv) = described_class.new.parse(argv)

  def value(name, *argv) = parse(*argv)[name]&.value

  def run(*argv) = described_class.run(argv, env: {}, out:, err:)

  Tidegate::Configuration::OPTIONS.each_value do |option|
    next if option.flags.empty? || option.switch? || option.stands_for

    example = { "URI" => "tcp://h:1", "COUNT" => "3", "SECONDS" => "4", "BYTES" => "5K", "PORT" => "80", "FORMAT" => "json", "WHICH" => "auto", "WHEN" => "on_force", "/PATH" => "/up",
                "AGE" => "oldest", "NETWORK" => "10.0.0.0/8", "MODE" => "0640", "SCHEME" => "https", "VERSION" => "v2", "[only]" => "only" }
    it "sets #{option.name} by #{option.flags.join(" and ")}" do
      option.flags.each do |flag|
        given = example.fetch(option.type.placeholder, "word")
        expect(parse(flag, given)).to be_key(option.name)
      end
    end
  end

  it "knows nothing that was not given" do
    expect(Tidegate::Configuration::OPTIONS.keys.select { |name| parse.key?(name) }).to be_empty
  end

  it "takes the rackup file from anywhere among the flags" do
    expect(value(:rackup, "-p", "3000", "app.ru", "-q")).to eq "app.ru"
  end

  it "takes threads as Puma does" do
    expect(value(:max_threads, "-t", "0:5")).to eq 5
    expect(value(:min_threads, "-t5")).to eq 5
    expect(value(:max_threads, "--threads=2:9")).to eq 9
  end

  it "collects what may be repeated" do
    expect(value(:bind, "-b", "tcp://h:1", "--bind", "unix:///x").map(&:to_s)).to eq %w[tcp://h:1 unix:///x]
  end

  it "turns switches on and off" do
    expect(value(:silent, "-s")).to be true
    expect(value(:silent, "--no-silent")).to be false
    expect(value(:log_requests, "-v")).to be true
    expect(value(:log_requests, "-q")).to be false
    expect(value(:log_requests, "--log-requests", "--quiet")).to be false
  end

  it "loads no file for -C - and for --no-config" do
    expect(value(:config, "-C", "-")).to eq ["-"]
    expect(value(:config, "--no-config")).to eq ["-"]
  end

  it "takes what follows a flag for its value, whatever it looks like" do
    expect(value(:tag, "--tag", "--weird")).to eq "--weird"
  end

  it "takes a flag whose value may be left out, and leaves the flag behind it alone" do
    expect(value(:bind_to_activated_sockets, "--bind-to-activated-sockets")).to be true
    expect(value(:bind_to_activated_sockets, "--bind-to-activated-sockets", "only")).to eq :only
    expect { parse("--bind-to-activated-sockets", "--prot") }.to raise_error(Tidegate::ConfigurationError, /unknown option --prot/)
  end

  it "ends the flags at --" do
    expect(value(:rackup, "--", "--odd.ru")).to eq "--odd.ru"
  end

  {
    %w[--prot 3000] => "unknown option --prot: did you mean --port?",
    %w[--drain-dely=3] => "unknown option --drain-dely: did you mean --drain-delay?",
    %w[--thread 5] => "unknown option --thread: did you mean --threads?",
    %w[--no-port] => /\Aunknown option --no-port: /,
    %w[-x] => "unknown option -x: `tidegate --help` lists the options",
    %w[-p] => "-p needs a value",
    %w[--port] => "--port needs a value",
    %w[-p 99999] => %(-p/--port: port cannot be "99999": it must be a whole number from 0 to 65535),
    %w[--drain-delay soon] => /\A--drain-delay: drain_delay cannot be "soon": it must be a number of seconds, .* or auto\z/,
    %w[-b ssl://h:1?crt=x] => %(-b/--bind: bind cannot be "ssl://h:1?crt=x": crt is not among its options: did you mean cert?),
    %w[a.ru b.ru] => "one rackup file can be served, and a.ru is followed by b.ru"
  }.each do |argv, message|
    it "refuses #{argv.join(" ")}" do
      expect { parse(*argv) }.to raise_error(Tidegate::ConfigurationError, message)
    end
  end

  it "prints one sentence about a mistake, and fails" do
    expect(run("--prot", "3000")).to eq 1
    expect([out.string, err.string]).to eq ["", "tidegate: unknown option --prot: did you mean --port?\n"]
  end

  it "prints the version" do
    expect(run("-V")).to eq 0
    expect(run("--version")).to eq 0
    expect(out.string).to eq "tidegate #{Tidegate::VERSION} (Ruby #{RUBY_VERSION})\n" * 2
  end

  it "prints every option of the table in its help" do
    expect([run("-h"), run("--help")]).to eq [0, 0]
    Tidegate::Configuration::OPTIONS.each_value.reject { |option| option.code || option.secret }.each do |option|
      expect(out.string).to include(option.text)
      expect(out.string).to include(option.switch? ? option.long.delete_prefix("--") : option.flags.last.to_s)
    end
  end
end
