# frozen_string_literal: true

# Whether a thread is in an `ensure` clause. Up to Ruby 3.3 its backtrace says so ("ensure in call"). From 3.4 on it names only the
# method and the line: whether that line belongs to an `ensure` clause, the file says, which is compiled once more for that.

module Tidegate
  class EnsureClauses
    LABEL = /:in [`'](?:.*[#.])?ensure in /
    private_constant :LABEL

    # Files that are known. Code of many that come and go (templates) is not to fill the memory.
    MOST = 10_000

    # The word that a file with such a clause has in it.
    WORD = "ensure"
    # A comment in one of the first lines that names the file's encoding, and those that the compiler surely takes: Ruby 3.4.11 writes where
    # it may not for one that it does not know, and crashes.
    CODING = /coding\s*[:=]\s*["']?([\w.-]+)/
    SURE = /\A(?:utf-8|us-ascii|ascii-8bit|binary|iso-8859-\d+|windows-125\d|euc-jp|shift_jis)(?:-unix|-dos|-mac)?\z/i
    private_constant :MOST, :WORD, :CODING, :SURE

    # Whether backtraces of this Ruby leave out where an `ensure` clause runs.
    HIDDEN = Gem::Version.new(RUBY_VERSION) >= Gem::Version.new("3.4")

    def initialize(hidden: HIDDEN)
      @hidden = hidden
      # Absolute path => when the file was last changed, and the ranges of lines.
      @files = {}
    end

    # Reads what the files of these levels of a backtrace (Thread::Backtrace::Location) say, as far as that is not known yet: all at once,
    # as a request that computes has the GVL for a whole slice after each time that this thread lets go of it. Returns whether there was
    # something new, which may have taken some time.
    def learn(levels)
      return false unless @hidden

      @files.clear if @files.size > MOST
      paths = paths_and_lines(levels).map(&:first).uniq
      found = Native.changed_sources(paths.map { |path| [path, @files[path]&.first] }, WORD)
      paths.zip(found) { |path, (changed, source)| @files[path] = [changed, source ? ranges(path, source) : []] if changed }
      found.any?
    end

    # Whether a thread with such a backtrace is in an `ensure` clause; from Ruby 3.4 on also where it came there without an exception. A
    # file that was not read counts as one clause: it is read by the next call of #learn.
    def cover?(levels)
      return levels.any? { |level| level.to_s.match?(LABEL) } unless @hidden

      paths_and_lines(levels).any? do |path, line|
        _, ranges = @files[path]
        ranges.nil? || ranges.any? { |range| range.cover?(line) }
      end
    end

    private

    # Code of no file, such as ERB's, has no absolute path; config.ru has a path only.
    def paths_and_lines(levels)
      levels.filter_map do |level|
        path = level.absolute_path || level.path
        [path, level.lineno] if path&.start_with?("/") && !path.include?("\0")
      end
    end

    # What is no Ruby of a file - a template, a path made up by eval - has none, whatever the compiler says to it.
    def ranges(path, source)
      return [] unless source.lines.first(2).all? { |line| line[CODING, 1]&.match?(SURE) != false }

      clauses(RubyVM::InstructionSequence.compile(source.force_encoding(Encoding::UTF_8), path, path)).filter_map do |clause|
        first, last = lines(clause).minmax
        first..last if first
      end
    rescue StandardError, ScriptError
      []
    end

    def clauses(code)
      return [code] if code.label.start_with?("ensure in ")

      children(code).flat_map { |child| clauses(child) }
    end

    # With those of the blocks and `rescue` clauses in it.
    def lines(code) = code.to_a.last.grep(Integer) + children(code).flat_map { |child| lines(child) }

    def children(code) = [].tap { |children| code.each_child { |child| children << child } }
  end
end
