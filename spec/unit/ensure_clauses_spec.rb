# frozen_string_literal: true

# From Ruby 3.4 on a backtrace does not say that a thread is in an `ensure` clause: the exception of request_timeout came within it.
RSpec.describe Tidegate::EnsureClauses do
  around { |example| Dir.mktmpdir { |directory| (@file = "#{directory}/app.rb") && example.run } }

  # A thread that has come to +pause+ in this code.
  def in_code(code)
    File.write(@file, "lambda do |pause|\n#{code}\nend\n")
    come = Queue.new
    thread = Thread.new { eval(File.read(@file), binding, @file).call(-> { (come << 1) && sleep }) } # rubocop:disable Security/Eval
    thread.report_on_exception = false
    come.pop
    yield thread
  ensure
    thread&.kill
    thread&.join
  end

  def covered?(clauses, code)
    in_code(code) do |thread|
      clauses.learn(thread.backtrace_locations)
      clauses.cover?(thread.backtrace_locations)
    end
  end

  # Without exceptions only where Ruby's own backtrace does not have to say so.
  in_clause = {
    "because of an exception" => "begin\n raise 'x'\nensure\n pause.call\nend",
    "in a block in it" => "begin\n raise 'x'\nensure\n [1].each do\n  pause.call\n end\nend",
    "in a method that it calls" => "other = -> {\n pause.call\n}\nbegin\n raise 'x'\nensure\n other.call\nend",
    "in a rescue clause in it" => "begin\n raise 'x'\nensure\n begin\n  raise 'y'\n rescue StandardError\n  pause.call\n end\nend"
  }
  elsewhere = {
    "before it" => "begin\n pause.call\nensure\n 1\nend",
    "behind it" => "begin\n begin\n  raise 'x'\n ensure\n  1\n end\nrescue StandardError\n pause.call\nend",
    "in a file without one" => "pause.call"
  }

  [described_class::HIDDEN, true].uniq.each do |hidden|
    describe hidden ? "by the file" : "by the backtrace" do
      let(:clauses) { described_class.new(hidden:) }

      in_clause.each { |what, code| it("says so #{what}") { expect(covered?(clauses, code)).to be(true) } }

      elsewhere.each { |what, code| it("denies it #{what}") { expect(covered?(clauses, code)).to be(false) } }
    end
  end

  describe "by the file" do
    let(:clauses) { described_class.new(hidden: true) }

    it "says so where the clause was reached without an exception" do
      expect(covered?(clauses, "begin\n 1\nensure\n pause.call\nend")).to be(true)
    end

    it "does not deny it of a file that was not read yet" do
      in_code("pause.call") do |thread|
        expect(clauses.cover?(thread.backtrace_locations)).to be(true)
        clauses.learn(thread.backtrace_locations)
        expect(clauses.cover?(thread.backtrace_locations)).to be(false)
      end
    end

    it "reads a file again that has changed" do
      code = "begin\n pause.call\nensure\n 1\nend"
      expect(covered?(clauses, code)).to be(false)
      File.utime(Time.at(0), Time.at(0), @file)
      expect(covered?(clauses, "begin\nensure\n pause.call\nend")).to be(true)
    end

    # One after the other, each cost a time slice of whatever computed meanwhile: the app of a Rails page has a hundred.
    it "reads all files in one go, and those that have not changed no more" do
      in_code("pause.call") do |thread|
        expect(Tidegate::Native).to receive(:changed_sources).twice.and_call_original
        expect(File).not_to receive(:read)
        expect(File).not_to receive(:mtime)
        expect(Array.new(2) { clauses.learn(thread.backtrace_locations) }).to eq([true, false])
      end
    end

    # An exception here ended the interrupter again and again, for this request and all behind it.
    it "denies it of files that the compiler does not take, and of names that are none" do
      in_code("pause.call") do |thread|
        ["# coding: nope\nensure", "ensure\0\xff", "if ensure"].each_with_index do |text, index|
          File.binwrite(@file, text)
          File.utime(index, index, @file)
          clauses.learn(thread.backtrace_locations)
          expect(clauses.cover?(thread.backtrace_locations)).to be(false)
        end
      end
      place = Struct.new(:absolute_path, :path, :lineno)
      odd = ["/no\0file", "/dev/zero", "/no/such/file", File.dirname(@file)].map { |path| place.new(nil, path, 1) }
      clauses.learn(odd)
      expect(clauses.cover?(odd)).to be(false)
    end

    it "denies it of what is not there or no Ruby" do
      in_code("pause.call") do |thread|
        File.write(@file, "<% ensure %>")
        clauses.learn(thread.backtrace_locations)
        expect(clauses.cover?(thread.backtrace_locations)).to be(false)
        File.unlink(@file)
        clauses.learn(thread.backtrace_locations)
        expect(clauses.cover?(thread.backtrace_locations)).to be(false)
      end
    end
  end
end
