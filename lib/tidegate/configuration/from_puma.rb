# frozen_string_literal: true

# A config/puma.rb in our language: for `rails generate tidegate:install`. What is the same in both stays as it is written, with its
# comments; what only Puma calls so gets our name and the value that it has; what does nothing here becomes a comment with the reason.

require "ripper"
require "tmpdir"

module Tidegate
  class FromPuma
    # A statement at the top of the file: the lines before it that are blank or a comment, its own, and the number of its first.
    Statement = Data.define(:before, :lines, :first, :tree) do
      def cover?(line) = (first...(first + lines.size)).cover?(line)

      def source = lines.join
    end

    # What a file need not say here, with the reason.
    NEEDLESS = {
      "threads" => "No number of threads has to be tuned (docs/threads.md); RAILS_MAX_THREADS or the database's pool bounds them",
      "preload_app!" => nil # as it is anyway
    }.freeze

    # What is a comment for Ruby at the beginning of a file alone.
    MAGIC = /\A# *(?:frozen_string_literal|encoding|coding).*\n/

    NOT_MET = "What this does was not seen when this file was written, as its condition was not met"
    SO_ANYWAY = "This is so here in any case"
    private_constant :MAGIC, :NOT_MET, :SO_ANYWAY

    # +path+ is that of a file in Puma's language.
    def initialize(path)
      @path = path
      @text = File.read(path)
    end

    # The file's content in our language; empty where nothing in it says anything here.
    # @return [String]
    # @raise [ConfigurationError] for a file that does not work
    def to_s
      @layer = Configuration::Layer.new
      @reasons = PumaDSL.load(@path, @layer).flatten
      kept = statements.map { |statement| [statement, translate(statement)] }
      settled(without_unused(kept)).map(&:last).join.sub(MAGIC, "").sub(/\A\n+/, "")
    end

    private

    def statements
      tree = Ripper.sexp(@text) or raise ConfigurationError, "#{Fault.relative(@path)} is not Ruby"
      trees = tree[1].filter_map { |each| (line = first_line(each)) && [line, each] }
      lines = @text.lines
      ends = trees.drop(1).map(&:first) << (lines.size + 1)
      before = 1
      trees.zip(ends).filter_map do |(first, each), following|
        next if first == following # two statements in a line are one to us

        last = (first...following).to_a.rindex { |line| !silent?(lines[line - 1]) } + first
        Statement.new(before: lines[(before - 1)...(first - 1)], lines: lines[(first - 1)...last], first:, tree: each).tap { before = last + 1 }
      end
    end

    def silent?(line) = line.match?(/\A\s*(#|\z)/)

    def first_line(tree) = tokens(tree).map { |token| token[2][0] }.min

    # The words, constants and so on in a tree, as [:@kind, text, [line, column]].
    def tokens(tree)
      return [] unless tree.is_a?(Array)
      return [tree] if tree[0].is_a?(Symbol) && tree[0].start_with?("@")

      tree.flat_map { |each| tokens(each) }
    end

    # The words of the language that a statement uses; blocks are code of the app, but for those of `single` and `cluster`.
    def words(tree)
      return [] unless tree.is_a?(Array)

      case tree[0]
      when :command, :fcall, :vcall then [tree[1][1], *words(tree[2])]
      when :method_add_block then words(tree[1]).then { |own| (own & %w[single cluster]).any? ? own + words(tree[2]) : own }
      when :call, :command_call then tree.drop(1).flat_map { |each| words(each) }
      else tree.flat_map { |each| words(each) }
      end
    end

    def translate(statement)
      needless, = NEEDLESS.keys & words(statement.tree)
      return needless(statement, NEEDLESS[needless]) if needless && (needless == "threads" || statement.source.strip == needless)

      reasons = said_of(statement)
      ours?(statement) && reasons.empty? ? [*statement.before, *statement.lines].join : anew(statement, reasons)
    end

    # Why the statement does nothing, in the words of the log.
    def said_of(statement)
      @reasons.filter_map do |reason|
        _, line, text = reason.split(/:(\d+): /, 2)
        text if line && statement.cover?(Integer(line))
      end
    end

    def needless(statement, reason) = reason ? "\n#{commented(statement, [reason])}" : ""

    # Whether our own language has all words, which may also be Ruby's own.
    def ours?(statement)
      known = DSL.public_instance_methods(false) + Kernel.private_instance_methods
      words(statement.tree).all? { |word| known.include?(word.to_sym) }
    end

    # The settings that the statement has made, under our names; itself as a comment where it has made none.
    def anew(statement, reasons)
      settings = Configuration::OPTIONS.values.filter_map do |option|
        setting = @layer[option.name] unless option.code || option.secret
        "#{option.file} #{literal(setting.value)}\n" if setting && statement.cover?(setting.origin[/:(\d+)\z/, 1].to_i)
      end
      return "\n# #{statement.source.lines.first.chomp}\n#{settings.join}" if settings.any?

      "\n#{commented(statement, reasons.empty? ? [unseen(statement)] : reasons)}"
    end

    # Why nothing has come of a statement, of which nothing is said.
    def unseen(statement) = (words(statement.tree).map(&:to_sym) & PumaDSL::ABSENT.keys).any? ? SO_ANYWAY : NOT_MET

    def literal(value)
      case value
      when Array then value.map { |each| literal(each) }.join(", ")
      when String, Symbol, Numeric, true, false, nil then value.inspect
      else value.to_s.inspect
      end
    end

    def commented(statement, reasons)
      (reasons.map { |reason| "# #{reason}\n" } + statement.lines.map { |line| "# #{line}" }).join
    end

    # Leaves out assignments to variables that nothing kept reads any more, the last first: they may read one another.
    def without_unused(kept)
      kept.reverse.each_with_object([]) do |(statement, text), rest|
        name = statement.tree[0] == :assign && statement.tree[1][0] == :var_field && statement.tree[1][1][1]
        used = !name || commented?(text) || rest.any? { |_, other| live(other).match?(/\b#{Regexp.escape(name)}\b/) }
        rest.unshift([statement, text]) if used
      end
    end

    def live(text) = text.lines.reject { |line| silent?(line) }.join

    def commented?(text) = live(text).empty?

    # Has our own language read the result, and makes a comment of what it refuses, as with a variable that is not set here.
    def settled(kept)
      kept.size.times do
        line, reason = refusal(kept.map(&:last).join)
        return kept unless line

        number = 0
        kept = kept.map do |statement, text|
          range = (number + 1)..(number += text.lines.size)
          [statement, range.cover?(line) ? "\n#{commented(statement, [reason])}" : text]
        end
      end
      kept
    end

    # The line of +text+ that our language refuses, and why; nil for none.
    def refusal(text)
      Dir.mktmpdir do |directory|
        path = File.join(directory, "tidegate.rb")
        File.write(path, text)
        DSL.load(path, Configuration::Layer.new)
        nil
      rescue ConfigurationError => error
        line = error.message[/tidegate\.rb:(\d+)/, 1] or raise
        [Integer(line), error.message[/tidegate\.rb:\d+: (.*)/m, 1].to_s.lines.first.chomp]
      end
    end
  end
end
