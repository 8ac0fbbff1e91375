# frozen_string_literal: true

require "stringio"
require "tmpdir"

RSpec.describe Tidegate::Redirect do
  around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

  let(:err) { StringIO.new }
  let(:log) { Tidegate::Log.new(err:) }
  let(:path) { "#{@directory}/out.log" }
  # Stands for a standard stream.
  let(:stream) { File.open("#{@directory}/terminal", "w") }

  after { stream.close unless stream.closed? }

  def redirect(files = { stream => path }, **) = described_class.new(files, log, **)

  it "is none where no file is set" do
    expect(described_class.of(Tidegate::Configuration.embedded({}), log)).to be_nil
  end

  it "gives the stream the file, under the number that it has" do
    number = stream.fileno
    redirect.open
    stream.puts("one")
    File.rename(path, "#{path}.1")
    stream.puts("two")
    expect(redirect.reopen).to be true
    stream.puts("three")

    expect(stream.fileno).to eq number
    expect([File.read("#{path}.1"), File.read(path)]).to eq %W[one\ntwo\n three\n]
  end

  it "never empties a file that it opens anew, which other processes write to" do
    redirect.open
    stream.puts("one")
    redirect.reopen
    stream.puts("two")
    expect(File.read(path)).to eq "one\ntwo\n"
  end

  it "tells the server of this process, whose native side has descriptors of its own" do
    server = Struct.new(:told) { def reopen_logs = self.told = true }.new
    redirect.open.reopen(server)
    expect(server.told).to be true
  end

  it "is refused a FIFO without a reader, instead of waiting for one" do
    File.mkfifo(path)
    expect { redirect.open }.to raise_error(Tidegate::ConfigurationError, "the output cannot go to #{path}: No such device or address")
  end

  it "says what cannot be opened anew, also where the app has closed the stream" do
    opened = redirect.open
    stream.close
    expect(opened.reopen).to be false
    expect(err.string).to eq "tidegate: #{path} cannot be opened anew, and the output goes where it went before: closed stream\n"
  end
end
