# frozen_string_literal: true

require "stringio"

RSpec.describe Tidegate::Outlet do
  def write(io, text = "line\n") = described_class.write(io, text, patience: 0.05)

  # A pipe, and whatever is in it already.
  def pipe(filled: false)
    reader, writer = IO.pipe
    writer.write_nonblock("x" * 4096, exception: false) == :wait_writable ? break : nil while filled
    yield reader, writer
  ensure
    [reader, writer].each(&:close)
  end

  it "writes what there is, however long" do
    pipe do |reader, writer|
      expect(write(writer, "long\u00E4" * 2000)).to be(true)
      expect(reader.readpartial(20_000).force_encoding("UTF-8")).to eq("long\u00E4" * 2000)
    end
    text = StringIO.new
    expect([write(text), text.string]).to eq([true, "line\n"])
  end

  it "waits for no reader that does not read, also in the middle of a long text" do
    pipe(filled: true) { |_, writer| expect(write(writer)).to be(false) }
    pipe do |reader, writer|
      expect(write(writer, "x" * 200_000)).to be(false)
      expect(reader.read_nonblock(1_000_000).size).to be_between(4096, 199_999)
    end
  end

  it "raises nothing where nothing can be written" do
    pipe { |reader, writer| (reader.close || true) && expect(write(writer)).to(be(false)) }
    File.open("/dev/full", "w") { |full| expect(write(full)).to be(false) } if File.exist?("/dev/full")
    expect(write(File.open(File::NULL, "w").tap(&:close))).to be(false)
    expect(write(Class.new { def write(_) = raise("on purpose") }.new)).to be(false)
  end

  it "has the log say how many lines were lost, when one can be written again" do
    [false, true].each do |json|
      err = StringIO.new
      err.define_singleton_method(:write) { |text| @full ? raise(Errno::ENOSPC) : super(text) }
      err.define_singleton_method(:full=) { |full| @full = full }
      log = Tidegate::Log.new(err:, json:)
      err.full = true
      2.times { log.error("lost") }
      err.full = false
      2.times { log.error("there again") }
      lines = err.string.lines(chomp: true).map { |line| json ? JSON.parse(line)["message"] : line.delete_prefix("tidegate: ") }
      expect(lines).to eq(["2 lines of this log could not be written, or not fast enough", "there again", "there again"])
    end
  end
end
