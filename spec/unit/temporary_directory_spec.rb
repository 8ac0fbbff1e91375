# frozen_string_literal: true

require "stringio"
require "tmpdir"

# For Dir.tmpdir the environment is ENV, which these set for the example. What root may write to says nothing of what the
# app's user may: spec/deploy/temporary_directory_spec.rb has the user of a pod.
RSpec.describe Tidegate::TemporaryDirectory do
  let(:out) { StringIO.new }
  let(:err) { StringIO.new }

  around do |example|
    before = ENV.to_h.slice("TMPDIR", "TMP", "TEMP")
    Dir.mktmpdir do |directory|
      @directory = directory
      example.run
    ensure
      %w[TMPDIR TMP TEMP].each { |name| ENV[name] = before[name] }
    end
  end

  def prepare(tmpdir)
    ENV["TMPDIR"] = tmpdir
    ENV.delete("TMP")
    ENV.delete("TEMP")
    described_class.new(ENV, Tidegate::Log.new(out:, err:)).prepare
  end

  def mode(path) = File.stat(path).mode & 0o7777

  it "is TMPDIR as it is, without a word" do
    expect(prepare(@directory)).to eq(@directory)
    expect([out.string, err.string]).to eq(["", ""])
  end

  it "is the system's where TMPDIR is not set" do
    expect([prepare(nil), prepare("")]).to eq([Etc.systmpdir] * 2)
    expect([out.string, err.string]).to eq(["", ""])
  end

  it "is made for this user alone where TMPDIR is missing" do
    path = "#{@directory}/app"
    expect(prepare(path)).to eq(path)
    expect(mode(path)).to eq(0o700)
    expect([out.string, err.string]).to eq(["tidegate: made #{path} (TMPDIR) with mode 0700\n", ""])
    expect(Dir.children(path)).to be_empty
  end

  it "is another one where TMPDIR cannot be made, and a line says so" do
    expect(prepare("#{@directory}/no/where")).to eq(Etc.systmpdir)
    expect(err.string).to eq("tidegate: temporary files go to #{Etc.systmpdir} instead of TMPDIR: #{@directory}/no/where (TMPDIR) is not " \
                             "there and cannot be made: No such file or directory. Set TMPDIR to a directory of this user's own with " \
                             "mode 0700; one that is missing is made where its parent can be written to\n")
  end

  # What each volume of the kind emptyDir is.
  it "is another one where all users may write to TMPDIR" do
    [0o777, 0o2777].each do |mode|
      File.chmod(mode, @directory)
      expect { expect(prepare(@directory)).to eq(Etc.systmpdir) }.not_to output.to_stderr
      expect(err.string).to include("instead of TMPDIR: #{@directory} is world-writable without the sticky bit, which Ruby refuses. Set")
    end
    File.chmod(0o700, @directory)
  end

  it "is another one where TMPDIR is a file or a link to nothing" do
    File.write("#{@directory}/file", "")
    File.symlink("#{@directory}/nothing", "#{@directory}/link")
    { "file" => "is not a directory", "link" => "is not there" }.each do |name, words|
      expect(prepare("#{@directory}/#{name}")).to eq(Etc.systmpdir)
      expect(err.string).to include("#{@directory}/#{name} #{words}. Set")
    end
    expect(File.exist?("#{@directory}/nothing")).to be(false)
  end

  it "tells what a directory lacks" do
    expect(described_class.fault(@directory)).to be_nil
    expect(described_class.fault("#{@directory}/x")).to eq("#{@directory}/x: No such file or directory")
    expect(described_class.fault("/dev/null")).to eq("/dev/null is not a directory")
    expect(described_class.fault("/proc")).to start_with("/proc: ")
    expect(Dir.children(@directory)).to be_empty
  end
end
