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

  # The boot waited for a reader, and the end for a writer.
  it "waits for nothing at a FIFO" do
    File.mkfifo("fifo")
    expect { described_class.new("fifo").write }.to raise_error(Tidegate::ConfigurationError, /the pidfile .*fifo cannot be written: it is a FIFO/)
    pidfile = described_class.new("server.pid")
    pidfile.write
    File.rename("fifo", "server.pid")
    pidfile.remove
    expect(File.pipe?("server.pid")).to be true
  end

  it "may be a device that keeps nothing" do
    pidfile = described_class.new(File::NULL)
    pidfile.write
    pidfile.remove
    expect(File.exist?(File::NULL)).to be true
  end

  it "does nothing without a path" do
    pidfile = described_class.new(nil)
    pidfile.write
    pidfile.remove
    expect(Dir.children(".")).to be_empty
  end
end
