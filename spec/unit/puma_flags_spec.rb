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
      expect(said(*words)).to eq(["tidegate: #{flag.long} does nothing here: #{flag.reason}"])
    end
  end

  # What the flags come to.
  def value(name, *argv) = Tidegate::CLI.new.parse(argv)[name]&.value

  it "sets our options by Puma's flags for workers, restarts and the state file" do
    expect(value(:workers, "-w", "3")).to eq 3
    expect(value(:preload_app, "--preload")).to be true
    expect(value(:state_path, "-S", "tmp/state")).to eq "tmp/state"
    expect(value(:restart_command, "-R", "x")).to eq "x"
    expect(value(:redirect_append, "--no-redirect-append")).to be false
    expect([value(:refork_after, "-f"), value(:refork_after, "--fork-worker=20")]).to eq [[1000], [20]]
  end

  it "makes the admin listener of what asks for a control server" do
    token = "0123456789abcdef"
    expect(value(:admin, "--control-url", "tcp://127.0.0.1:9394").to_s).to eq "tcp://127.0.0.1:9394"
    expect(value(:admin, "--control-url", "auto").to_s).to match(%r{\Aunix:///.*/tidegate-#{Process.pid}-\w+\.sock\z})
    expect([value(:admin_token, "--control-token", token), value(:admin_token, "--control-token", "none")]).to eq [token, nil]
  end

  it "says which part of that it cannot have, without the token" do
    lines = said("--control-url", "ssl://127.0.0.1:1?key=x", "--control-token", "short-secret")
    expect(lines).to match([/--control-url: it does nothing here: the admin listener speaks no TLS\z/,
                            /--control-token: the token is left out, so that nothing can be changed over TCP: it must be 16 to/])
    expect(lines.join).not_to include "short-secret"
  end

  it "says it once, however often it is given" do
    expect(said("--prune-bundler", "--prune-bundler").size).to eq 1
  end

  it "names plugins that are not there, loads from directories, and takes the time without requests" do
    expect(said("--plugin", "a", "--plugin", "tmp_restart", "--plugin", "b"))
      .to eq(%w[a b].map { |name| "tidegate: --plugin: plugin :#{name} does nothing here: no gem here has puma/plugin/#{name}" })
    before = $LOAD_PATH.dup
    expect(value(:restart_file, "--plugin", "tmp_restart", "-I", "/a:/b")).to eq "tmp/restart.txt"
    expect($LOAD_PATH - before).to eq %w[/a /b]
    expect(value(:idle_timeout, "--idle-timeout", "5")).to eq 5.0
  ensure
    $LOAD_PATH.replace(before)
  end

  it "leaves the rackup file behind a flag alone" do
    parsed = Tidegate::CLI.new.parse(%w[-f app.ru])
    expect(parsed[:rackup].value).to eq "app.ru"
  end

  it "still takes no beginning of a name" do
    expect { Tidegate::CLI.new.parse(%w[--work 2]) }.to raise_error(Tidegate::ConfigurationError, /unknown option --work: /)
  end

  it "knows every flag of the Puma that is installed" do
    cli = Gem.path.flat_map { |path| Dir["#{path}/gems/puma-*/lib/puma/cli.rb"] }.first or skip "without puma there is nothing to compare"
    theirs = File.read(cli).scan(/o\.on .*?"(--[\w-]+)/).flatten
    ours = Tidegate::Configuration::OPTIONS.values.map(&:long) + described_class::NAMES + %w[--no-config --version --help]

    expect(theirs.size).to be > 20
    expect(theirs - ours).to eq []
  end
end
