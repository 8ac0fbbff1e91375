# frozen_string_literal: true

require "stringio"
require "tmpdir"

RSpec.describe Tidegate::Control::CLI do
  let(:directory) { Dir.mktmpdir }
  let(:out) { StringIO.new }
  let(:err) { StringIO.new }

  after { FileUtils.rm_rf(directory) }

  # In a directory without a configuration.
  def run(*words, env: {})
    Dir.chdir(directory) { described_class.run(words.map(&:to_s), env:, out:, err:) }
  end

  def file(name, text) = File.join(directory, name).tap { |path| File.write(path, text) }

  # A process that is no server, and ignores USR1.
  def other_process
    reader, writer = IO.pipe
    pid = Process.spawn(RbConfig.ruby, "--disable-gems", "-e", "trap('USR1', 'IGNORE'); puts; STDOUT.flush; sleep", out: writer)
    reader.gets
    yield pid
  ensure
    Process.kill(:KILL, pid)
    Process.wait(pid)
  end

  it "answers 2 to what is written wrongly" do
    expect(run).to eq(2)
    expect(run("stopp")).to eq(2)
    expect(run("--nonsense", "stop")).to eq(2)
    expect(run("stop", "now")).to eq(2)
    expect(run("-p", -1, "stop")).to eq(2)
    expect(err.string.lines).to match([
      /\Atidegate ctl: a command is missing: stop, halt, drain, /, "tidegate ctl: unknown command stopp: did you mean stop?\n",
      "tidegate ctl: invalid option: --nonsense; see tidegate ctl --help\n", "tidegate ctl: stop takes no now\n",
      "tidegate ctl: a process has a number above 0\n"
    ])
  end

  it "has the commands of Puma's pumactl, and its options" do
    names = Tidegate::Control::Commands::ALL.flat_map(&:names)
    expect(names).to include(*%w[gc gc-stats halt info phased-restart refork reopen-log restart start stats status stop
                                 thread-backtraces worker-count-down worker-count-up])
    expect(run("--help")).to eq(0)
    expect(out.string).to include("-S, --state", "-Q, --quiet", "-P, --pidfile", "-p, --pid", "-C, --control-url", "-T, --control-token",
                                  "-F, --config-file", "-e, --environment", "-H, --help", "-V, --version")
  end

  it "says what is missing where it cannot tell which server is meant" do
    expect(run("stats")).to eq(1)
    expect(run("-p", Process.pid, "stats")).to eq(1)
    expect(run("-C", "unix:///x.sock", "info")).to eq(1)
    expect(err.string.lines).to match([/which server\? Its configuration here has neither admin nor pidfile/,
                                       /stats needs the admin listener of the server, and none is known/,
                                       /info is a signal: give the process with -p PID/])
  end

  it "says so where no server answers, and what is no address" do
    expect(run("-C", "unix://#{directory}/none.sock", "stop")).to eq(1)
    expect(run("-C", "ftp://x", "stop")).to eq(1)
    expect(run("-C", "tcp://127.0.0.1:0", "stop")).to eq(1)
    expect(run("-C", "unix:///#{"x" * 200}", "stop")).to eq(1)
    expect(err.string.lines).to match([/no server answers on unix:.*none\.sock: it does not run/, /ftp:.* is no address of an admin listener/,
                                       /has no fixed port/, /the path is too long/])
  end

  it "tells a stale state file or pidfile by its process" do
    gone = Process.wait(Process.spawn("true"))
    state = file("state", "---\npid: #{gone}\ncontrol_url: unix://#{directory}/none.sock\ncontrol_auth_token: none\n")
    expect(run("-S", state, "stop")).to eq(1)
    expect(run("-P", file("pid", "#{gone}\n"), "stop")).to eq(1)
    expect(run("-p", gone, "stop")).to eq(1)
    expect(err.string.lines).to eq(["tidegate ctl: process #{gone} does not run: #{state} is stale\n",
                                    "tidegate ctl: process #{gone} does not run: #{directory}/pid is stale\n",
                                    "tidegate ctl: process #{gone} does not run\n"])
  end

  it "sends no signal to a process that has taken a server's number" do
    other_process do |pid|
      expect(run("-P", file("pid", pid.to_s), "stop")).to eq(1)
      expect(err.string).to eq("tidegate ctl: process #{pid} is no Tidegate server: #{directory}/pid is stale\n")
    end
  end

  it "sends no signal that would end the process by not being handled" do
    other_process do |pid|
      expect(run("-p", pid, "worker-count-up")).to eq(1)
      expect(err.string).to match(/process #{pid} does not handle SIGTTIN now, .*: nothing was sent/)
      expect(run("-p", pid, "phased-restart")).to eq(0)
      expect(out.string).to eq("phased-restart: process #{pid} was sent SIGUSR1\n")
      expect(run("-Q", "-p", pid, "phased-restart")).to eq(0)
      expect(run("-p", pid, "status")).to eq(0)
      expect(out.string.lines.last).to eq("process #{pid} runs\n")
    end
  end

  it "reads no file that is not what it should be" do
    expect(run("-S", "#{directory}/none", "stop")).to eq(1)
    expect(run("-S", file("state", "a: [b"), "stop")).to eq(1)
    expect(run("-S", file("state", "--- !ruby/object:Object {}\n"), "stop")).to eq(1)
    expect(run("-S", file("state", "pid: -1"), "stop")).to eq(1)
    expect(run("-P", "#{directory}/none", "stop")).to eq(1)
    expect(run("-P", file("pid", "x"), "stop")).to eq(1)
    expect(run("-P", file("pid", "-1"), "stop")).to eq(1)
    expect(err.string.lines.map { |line| line[/: (.*)/, 1].sub("#{directory}/", "") }).to eq([
      "there is no state file none: no server runs with it", "state is no state file: it is not YAML", "state is no state file: it is not YAML",
      "state is no state file: it has no pid", "there is no pidfile none: no server runs with it", "pid is no pidfile: there is no number in it",
      "pid is no pidfile: there is no number in it"
    ])
  end

  it "starts a server with what was given, and with the words behind it" do
    allow(Tidegate::CLI).to receive(:run).and_return(7)
    env = {}
    expect(run("-F", "a.rb", "-e", "test", "-T", "secret", "start", "-p", "3000", env:)).to eq(7)
    expect(Tidegate::CLI).to have_received(:run).with(["--config", "a.rb", "--environment", "test", "-p", "3000"], env:, out:, err:)
    expect(env).to eq("TIDEGATE_ADMIN_TOKEN" => "secret")
  end
end

RSpec.describe Tidegate::Control::Target do
  let(:directory) { Dir.mktmpdir }

  after { FileUtils.rm_rf(directory) }

  def find(given = {}, env = {}) = Dir.chdir(directory) { described_class.find(given, env) }

  it "is the server of the configuration here, unless another is given" do
    FileUtils.mkdir("#{directory}/config")
    File.write("#{directory}/config/tidegate.rb", "admin 'unix://run/admin.sock'\nadmin_token '0123456789abcdef'\n")
    expect(find).to have_attributes(url: "unix://#{File.realpath(directory)}/run/admin.sock", token: "0123456789abcdef", pid: nil)
    expect(find({ pid: 7 })).to have_attributes(url: nil, pid: 7)
    expect(find({ url: "tcp://h:1", token: "t" })).to have_attributes(url: "tcp://h:1", token: "t", pid: nil)
  end

  it "takes the token from the environment, as the server does" do
    File.write("#{directory}/token", "fedcba9876543210\n")
    expect(find({ url: "tcp://h:1" }, { "TIDEGATE_ADMIN_TOKEN" => "0123456789abcdef" }).token).to eq("0123456789abcdef")
    expect(find({ url: "tcp://h:1" }, { "TIDEGATE_ADMIN_TOKEN_FILE" => "#{directory}/token" }).token).to eq("fedcba9876543210")
    expect(find({ url: "tcp://h:1" }).token).to be_nil
  end

  it "reads Puma's state file" do
    File.write("#{directory}/state", "---\npid: 4711\ncontrol_url: unix:///run/x.sock\ncontrol_auth_token: abc\nrunning_from: /\n")
    expect(find({ state: "state" })).to have_attributes(pid: 4711, url: "unix:///run/x.sock", token: "abc", source: "state")
  end
end
