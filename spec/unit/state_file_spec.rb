# frozen_string_literal: true

require "tmpdir"
require "yaml"

RSpec.describe Tidegate::StateFile do
  around { |example| Dir.mktmpdir { |directory| Dir.chdir(directory) { example.run } } }

  let(:path) { File.join(Dir.pwd, "state") }

  it "is YAML with Puma's keys, for this user alone" do
    described_class.new(path).write(control_url: "unix:///run/admin.sock", token: "0123456789abcdef")
    expected = { "pid" => Process.pid, "control_url" => "unix:///run/admin.sock", "control_auth_token" => "0123456789abcdef", "running_from" => Dir.pwd }

    expect(YAML.safe_load_file(path)).to eq expected
    expect(described_class.read(path)).to eq expected.transform_keys(&:to_sym)
    expect(File.stat(path).mode & 0o777).to eq 0o600
    expect(Dir.children(".")).to eq ["state"]
  end

  it "has what there is, and the mode that is wanted" do
    described_class.new(path, permission: 0o644).write
    expect(YAML.safe_load_file(path).keys).to eq %w[pid running_from]
    expect(File.stat(path).mode & 0o777).to eq 0o644
  end

  ["a b: c", "quo\"te", "back\\slash", "new\nline", "tab\t", "ümlaut"].each do |name|
    it "survives a directory named #{name.inspect}" do
      Dir.mkdir(name)
      Dir.chdir(name) { described_class.new(path).write }
      expect(YAML.safe_load_file(path)["running_from"]).to end_with("/#{name}")
      expect(described_class.read(path)[:running_from]).to end_with("/#{name}")
    end
  end

  it "is read as Puma writes it" do
    File.write(path, "---\npid: 12\ncontrol_url: tcp://127.0.0.1:9293\ncontrol_auth_token: 123-x\nrunning_from: \"/srv/my app\"\nother: 1\n")
    expect(described_class.read(path)).to eq(pid: 12, control_url: "tcp://127.0.0.1:9293", control_auth_token: "123-x", running_from: "/srv/my app")
  end

  it "replaces the file of a server that was killed, and is removed at the end" do
    File.write(path, "---\npid: 1\n")
    file = described_class.new(path)
    file.write
    file.remove
    expect(File.exist?(path)).to be false
  end

  it "leaves the file of another process alone" do
    file = described_class.new(path)
    file.write
    File.write(path, "---\npid: 1\n")
    file.remove
    expect(File.exist?(path)).to be true
  end

  it "is none without a path" do
    file = described_class.new(nil)
    file.write
    file.remove
    expect(Dir.children(".")).to eq []
  end

  it "says why it cannot be written or read" do
    expect { described_class.new("/nonexistent/state").write }
      .to raise_error(Tidegate::ConfigurationError, "the state file /nonexistent/state cannot be written: No such file or directory")
    expect { described_class.read("/nonexistent/state") }.to raise_error(Tidegate::Error, /the state file \/nonexistent\/state cannot be read: No such file/)
  end
end
