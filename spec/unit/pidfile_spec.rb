# frozen_string_literal: true

require "tmpdir"

RSpec.describe Tidegate::Pidfile do
  around { |example| Dir.mktmpdir { |directory| Dir.chdir(directory) { example.run } } }

  it "holds the process id until it is removed" do
    pidfile = described_class.new("server.pid")
    pidfile.write
    expect(File.read("server.pid")).to eq "#{Process.pid}\n"
    pidfile.remove
    expect(File.exist?("server.pid")).to be false
  end

  it "is found again after a change of directory" do
    pidfile = described_class.new("server.pid")
    pidfile.write
    Dir.mktmpdir { |other| Dir.chdir(other) { pidfile.remove } }
    expect(File.exist?("server.pid")).to be false
  end

  it "leaves the file of another process alone" do
    pidfile = described_class.new("server.pid")
    pidfile.write
    File.write("server.pid", "1")
    pidfile.remove
    expect(File.read("server.pid")).to eq "1"
  end

  it "removes nothing that it has not written" do
    File.write("server.pid", Process.pid.to_s)
    described_class.new("server.pid").remove
    expect(File.exist?("server.pid")).to be true
  end

  it "does nothing without a path" do
    pidfile = described_class.new(nil)
    pidfile.write
    pidfile.remove
    expect(Dir.children(".")).to be_empty
  end
end
