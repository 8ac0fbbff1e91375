# frozen_string_literal: true

require "stringio"

RSpec.describe Tidegate::PumaFlags do
  let(:err) { StringIO.new }

  # What the command says about its flags, before it finds that its configuration is not there.
  def said(*argv)
    Tidegate::CLI.run([*argv, "-C", "/nowhere/tidegate.rb"], env: {}, out: StringIO.new, err:)
    err.string.lines(chomp: true)[..-2]
  end

  described_class::ALL.each do |flag|
    it "takes #{flag.long} and its value, with one line" do
      words = flag.takes? ? [flag.long, "2"] : [flag.long]
      expect(said(*words)).to eq(flag.already.include?(true) ? [] : ["tidegate: #{flag.long} does nothing here: #{flag.reason}"])
    end
  end

  it "takes the short ones" do
    expect(said("-w", "2", "-S", "tmp/state", "-R", "x", "-f").map { |line| line[/--\S+/] }).to eq %w[--workers --state --restart-cmd --fork-worker]
  end

  it "says nothing of one worker or none, which is so anyway" do
    expect(said("-w", "1", "--workers", "0", "--workers=1")).to eq []
  end

  it "says it once, however often it is given" do
    expect(said("--plugin", "a", "--plugin", "b").size).to eq 1
  end

  it "leaves the rackup file behind a flag alone" do
    parsed = Tidegate::CLI.new.parse(%w[-f app.ru])
    expect(parsed[:rackup].value).to eq "app.ru"
  end

  it "still takes no beginning of a name, and no flag that would change where the server listens" do
    expect { Tidegate::CLI.new.parse(%w[--work 2]) }.to raise_error(Tidegate::ConfigurationError, /unknown option --work: /)
    expect { Tidegate::CLI.new.parse(%w[--bind-to-activated-sockets]) }.to raise_error(Tidegate::ConfigurationError, /unknown option --bind-to-activated-sockets: /)
  end

  it "knows every flag of the Puma that is installed" do
    cli = Gem.path.flat_map { |path| Dir["#{path}/gems/puma-*/lib/puma/cli.rb"] }.first or skip "without puma there is nothing to compare"
    theirs = File.read(cli).scan(/o\.on .*?"(--[\w-]+)/).flatten - %w[--bind-to-activated-sockets --include]
    ours = Tidegate::Configuration::OPTIONS.values.map(&:long) + described_class::NAMES + %w[--no-config --version --help]

    expect(theirs.size).to be > 20
    expect(theirs - ours).to eq []
  end
end
