# frozen_string_literal: true

# An exception in words, for the log and for a developer: one line that says what it was, below it where it came from and
# what had caused it. What the app has made of its exceptions, a message that raises or is none, does no harm here.

module Tidegate
  class ErrorReport
    # Levels of a backtrace that are shown; a stack that overflowed has thousands.
    LEVELS = 100

    # An exception is followed to the cause of its cause, and so on, for so long.
    CAUSES = 5

    CLASS = Kernel.instance_method(:class)
    NAME = Module.instance_method(:name)
    INSPECT = Module.instance_method(:inspect)
    private_constant :CLASS, :NAME, :INSPECT

    # +error+ is an exception, or nil where there is none to show.
    def initialize(error)
      @error = error
    end

    # What it was, in Unicode and perhaps of several lines: "RuntimeError: a message".
    def summary = @summary ||= "#{name}: #{message}"

    # The summary in as many lines as it has.
    def summary_lines = summary.each_line(chomp: true).map { |line| "#{Printable.line(line)}\n" }

    # The name of its class.
    def name
      return "an error" unless @error

      CLASS.bind_call(@error).then { |type| NAME.bind_call(type) || INSPECT.bind_call(type) }
    end

    # Where it came from, innermost first.
    def backtrace
      lines = Array(tolerate { @error.backtrace }).grep(String).map { |line| Printable.unicode(line) }
      left = lines.size - LEVELS
      left.positive? ? lines.first(LEVELS) << "... (#{left} levels more)" : lines
    end

    # The reports of its cause, of the cause of that, and so on.
    def causes
      seen = [@error].compact
      while seen.size <= CAUSES && (cause = tolerate { seen.last&.cause }) && seen.none? { |error| error.equal?(cause) }
        seen << cause
      end
      seen.drop(1).map { |error| self.class.new(error) }
    end

    # The lines below the one that says what it was, indented, so that none of them passes for one of the log's own.
    def lines
      below = causes.flat_map { |cause| ["caused by #{cause.summary}", *cause.backtrace] }
      [*backtrace, *below].map { |line| "  #{Printable.line(line)}\n" }
    end

    # All of it, for a developer who looks at the response.
    def to_s = [*summary_lines, *lines].join

    # What a machine is told.
    def to_h
      told = { exception: name, backtrace: }
      causes.empty? ? told : told.merge(causes: causes.map { |cause| { message: cause.summary, backtrace: cause.backtrace } })
    end

    private

    def message
      text = tolerate { @error.message }
      text.is_a?(String) ? Printable.unicode(text) : ""
    end

    def tolerate
      yield
    rescue Exception # rubocop:disable Lint/RescueException -- of the app's, in the place of what it was asked for
      nil
    end
  end
end
