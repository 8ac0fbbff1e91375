# frozen_string_literal: true

# An exception in words, for the log and for a developer: one line with its class and message, and below it the backtrace and
# the causes. An app's exception may have a message that raises or is no string; here it does no harm.

module Tidegate
  class ErrorReport
    # How many levels of a backtrace are shown; a stack that overflowed has thousands.
    LEVELS = 100

    # How many causes are shown: the cause, its cause, and so on.
    CAUSES = 5

    CLASS = Kernel.instance_method(:class)
    NAME = Module.instance_method(:name)
    INSPECT = Module.instance_method(:inspect)
    private_constant :CLASS, :NAME, :INSPECT

    # +error+ is an exception, or nil if there is none to show.
    def initialize(error)
      @error = error
    end

    # Class and message, in Unicode and perhaps in several lines: "RuntimeError: a message".
    def summary = @summary ||= "#{name}: #{message}"

    # The lines of the summary, each printable.
    def summary_lines = summary.each_line(chomp: true).map { |line| "#{Printable.line(line)}\n" }

    # The name of its class.
    def name
      return "an error" unless @error

      CLASS.bind_call(@error).then { |type| NAME.bind_call(type) || INSPECT.bind_call(type) }
    end

    # The levels of the backtrace, innermost first.
    def backtrace
      lines = Array(tolerate { @error.backtrace }).grep(String).map { |line| Printable.unicode(line) }
      left = lines.size - LEVELS
      left.positive? ? lines.first(LEVELS) << "... (#{left} levels more)" : lines
    end

    # The reports of the cause, of the cause of that, and so on.
    def causes
      seen = [@error].compact
      while seen.size <= CAUSES && (cause = tolerate { seen.last&.cause }) && seen.none? { |error| error.equal?(cause) }
        seen << cause
      end
      seen.drop(1).map { |error| self.class.new(error) }
    end

    # The lines below the summary: backtrace and causes. They are indented, so that none of them looks like a line of the log's own.
    def lines
      below = causes.flat_map { |cause| ["caused by #{cause.summary}", *cause.backtrace] }
      [*backtrace, *below].map { |line| "  #{Printable.line(line)}\n" }
    end

    # Summary, backtrace and causes, for a developer who looks at the response.
    def to_s = [*summary_lines, *lines].join

    # The members of a JSON object.
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
    rescue Exception # rubocop:disable Lint/RescueException -- a method of the app may raise anything
      nil
    end
  end
end
