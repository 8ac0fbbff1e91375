# frozen_string_literal: true

require "stringio"

RSpec.describe Tidegate::AppLog do
  let(:loud) { ->(line) { "<#{line.upcase}>" } }
  let(:sink) { [] }
  let(:writer) { Struct.new(:sink) { def write(text) = sink << text }.new(sink) }

  # What is printed in the place of a line of each kind.
  def passed(app_log) = %i[event error access].map { |kind| app_log.pass(kind, "a\nb\n") }

  it "has the formatter make of each line of the server's what is printed, and leaves those of requests" do
    app_log = described_class.new(loud, nil)
    expect(app_log.relayed).to eq([true, false])
    expect(%i[event error].map { |kind| app_log.pass(kind, "a\nb\n") }).to eq(["<A\nB>\n", "<A\nB>\n"])
  end

  it "has a logger with write get what the server does, as Puma's gets it, and requests" do
    expect(passed(described_class.new(loud, writer))).to eq(["", "<A\nB>\n", ""])
    expect(sink).to eq(["<A\nB>", "a\nb\n"])
    expect(described_class.new(nil, writer).relayed).to eq([true, true])
  end

  it "ends the line for an IO, which would run them together" do
    IO.pipe do |reader, io|
      described_class.new(nil, io).pass(:event, "a\n")
      expect(reader.read_nonblock(10)).to eq("a\n")
    end
  end

  it "has a Logger get the lines of requests alone" do
    needs_gem "logger"
    require "logger"
    out = StringIO.new
    app_log = described_class.new(nil, Logger.new(out))
    expect(passed(app_log)).to eq(["a\nb\n", "a\nb\n", ""])
    expect([out.string, app_log.relayed]).to eq(["a\nb\n", [false, true]])
  end

  it "loses no line to an exception, and tells of it once" do
    failing = Object.new.tap { |it| it.define_singleton_method(:write) { |_| raise NotImplementedError, "on purpose" } }
    app_log = described_class.new(->(_) { raise "on\npurpose" }, failing)
    told = app_log.pass(:event, "one\n")
    expect(told).to eq("one\ntidegate: log_formatter has raised RuntimeError: on\\npurpose; such lines are printed as they are\n" \
                       "tidegate: custom_logger has raised NotImplementedError: on purpose; such lines are printed as they are\n")
    expect(app_log.pass(:event, "two\n")).to eq("two\n")
    expect(described_class.new(->(_) {}, nil).pass(:error, "x\n")).to eq("\n")
  end

  it "loses no line to what the server's own thread may swallow" do
    native = Class.new do
      def attend_lines = nil
      def leave_lines = nil
      def next_lines = (@next ||= [[[:event, "one\n"], [:access, "two\n"]]]).shift
      def replace_lines(text) = (@replaced ||= []) << text
      attr_reader :replaced
    end.new
    app_log = described_class.new(nil, writer.tap { |it| it.define_singleton_method(:write) { |_| exit } })
    app_log.attend(native)
    Patience.until_true("the lines") { native.replaced }
    app_log.leave
    expect(native.replaced.first).to match(/\Aone\ntidegate: log_formatter or custom_logger has raised SystemExit: exit; .*\ntwo\n/)
  end

  # The master of a cluster stood still with it: no worker was replaced, and TERM did nothing.
  it "is not waited for without end where no thread is there for it" do
    hangs = Queue.new
    app_log = described_class.new(->(_) { hangs.pop || "released" }, nil)
    stub_const("Tidegate::AppLog::LIMIT", 0.05)
    expect(app_log.pass_in_time(:event, "one\n")).to match(/\Aone\ntidegate: log_formatter or custom_logger has not returned within 0\.05 s/)
    expect(app_log.pass_in_time(:event, "two\n")).to eq("two\n")
    hangs.close
    Patience.until_true("its return") { app_log.pass_in_time(:event, "three\n") == "released\n" }
  end

  it "lets pass what ends a process" do
    expect { described_class.new(->(_) { raise Interrupt }, nil).pass(:event, "x\n") }.to raise_error(Interrupt)
  end
end
