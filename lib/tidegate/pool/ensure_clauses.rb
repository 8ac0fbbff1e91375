# frozen_string_literal: true

# Whether a thread is in an `ensure` clause. Up to Ruby 3.3 its backtrace says so ("ensure in call"). From 3.4 on it names only the
# method and the line: whether that line belongs to an `ensure` clause, the file says, which is compiled once more for that.

module Tidegate
  class EnsureClauses
    LABEL = /:in [`'](?:.*[#.])?ensure in /
    private_constant :LABEL

    # Whether backtraces of this Ruby leave out where an `ensure` clause runs.
    HIDDEN = Gem::Version.new(RUBY_VERSION) >= Gem::Version.new("3.4")

    def initialize(hidden: HIDDEN)
      @hidden = hidden
      # Absolute path => when the file was last changed, and the ranges of lines.
      @files = {}
    end

    # Reads what the files of these levels of a backtrace (Thread::Backtrace::Location) say, as far as that is not known yet. It may take
    # some time: not for where that counts.
    def learn(levels)
      return unless @hidden

      paths_and_lines(levels).map(&:first).uniq.each do |path|
        changed = changed_at(path)
        known, = @files[path]
        @files[path] = [changed, ranges(path)] unless @files.key?(path) && known == changed
      end
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
        [path, level.lineno] if path&.start_with?("/")
      end
    end

    def changed_at(path)
      File.mtime(path)
    rescue SystemCallError
      nil
    end

    # Most files have none, which is seen without compiling them. What is no Ruby of a file - a template, a path made up by eval - has none.
    def ranges(path)
      return [] unless File.read(path, mode: "rb").match?(/\bensure\b/)

      clauses(RubyVM::InstructionSequence.compile_file(path)).filter_map do |clause|
        first, last = lines(clause).minmax
        first..last if first
      end
    rescue SystemCallError, SyntaxError, EncodingError
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
