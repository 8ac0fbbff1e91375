# frozen_string_literal: true

# The lines that Tidegate itself prints: what it does goes to the standard output, what is wrong to the standard error, as
# sentences for people or as JSON objects for machines. While a server runs, its native side writes the lines, so that no Ruby
# thread waits for a reader that does not read.

# These are loaded now, because there may be no free descriptor to read a file with when the first exception comes.
require_relative "log/error_report"
require_relative "log/printable"

module Tidegate
  # Where {Server} writes its lines: `Tidegate::Server.new(app, log: Tidegate::Log.new(silent: true))`.
  class Log
    # @param out [#write] for the lines about what the server does
    # @param err [#write, nil] for the lines about what is wrong; nil for what $stderr is when the line is printed
    # @param silent [Boolean] whether the lines about what the server does are dropped
    # @param json [Boolean] whether each line is an object with time, level and message
    def initialize(out: $stdout, err: nil, silent: false, json: false)
      @out = out
      @err = err
      @silent = silent
      @json = json
      require "json" if json
    end

    # A log to the same places, as +configuration+ wants it.
    # @param configuration [Configuration]
    # @return [Log]
    def for(configuration)
      self.class.new(out: @out, err: @err, silent: configuration.silent, json: configuration.log_format == :json)
    end

    # Prints one line about what the server does.
    # @param text [String] one sentence
    # @param fields [Hash{Symbol => Object}] further members of the JSON object
    # @return [void]
    def info(text, **fields)
      write(@out, "info", text, fields) unless @silent
    end

    # Prints one line about something wrong.
    # @param text [String] one sentence
    # @param fields [Hash{Symbol => Object}] further members of the JSON object
    # @return [void]
    def error(text, **fields) = write(err, "error", text, fields)

    # Prints an exception: a sentence, and below it the backtrace and the causes. In JSON all of it is one object. An exception of
    # $stderr, which may be any object with a write, is dropped, because there is no other place to report it.
    # @param error [Exception]
    # @param event [String] the kind of event, for the JSON object
    # @param detail [Boolean] whether the exception's message is printed below the sentence too, because the sentence has only
    #   a part of it
    # @param fields [Hash{Symbol => Object}] further members of the JSON object
    # @yieldparam summary [String] class and message of the exception
    # @yieldreturn [String] the sentence
    # @return [void]
    def report(error, event:, detail: false, **fields)
      report = ErrorReport.new(error)
      sentence = yield report.summary
      line = @json ? json("error", sentence, { event:, **fields, **told(report, detail) }) : in_lines(sentence, report, detail)
      attempt { print(err, line) }
    end

    # Prints where threads are: a sentence, and below it the lines of each of +entries+, which are those of Backtraces. In JSON all of
    # it is one object.
    # @param text [String] one sentence
    # @param entries [Array<Backtraces::Entry>]
    # @return [void]
    def backtraces(text, entries)
      line = @json ? json("info", text, { event: "backtraces", threads: entries.map(&:to_h) }) : in_entries(text, entries)
      attempt { print(err, line) }
    end

    # The descriptor that the native side writes the lines about what the server does to.
    # @return [Integer, nil] nil for no such lines
    def fileno = (descriptor(@out) unless @silent)

    # The descriptor that the native side writes the lines about what is wrong to.
    # @return [Integer, nil] nil if that is no file
    def error_fileno = descriptor(err)

    # Has +native+, a Native::Server that listens, write the lines from now on.
    # @api private
    def hand_over(native)
      @native = native
      @handed_over = err
    end

    private

    def err = @err || $stderr

    def told(report, detail) = detail ? { detail: report.summary, **report.to_h } : report.to_h

    def in_lines(sentence, report, detail)
      below = detail ? [*report.summary_lines.map { |line| "  #{line}" }, *report.lines] : report.lines
      "tidegate: #{Printable.line(sentence)}\n#{below.join}".chomp
    end

    def in_entries(text, entries)
      "tidegate: #{Printable.line(text)}\n#{entries.flat_map(&:lines).map { |line| "  #{line}" }.join}".chomp
    end

    def attempt
      yield
    rescue StandardError
      nil
    end

    def write(io, level, text, fields = {})
      print(io, @json ? json(level, text, fields) : "tidegate: #{Printable.line(text)}")
    end

    def json(level, text, fields)
      fields = fields.transform_values { |value| value.is_a?(String) ? Printable.unicode(value) : value }
      event, others = fields.slice(:event), fields.except(:event)
      Printable.json({ time: Time.now.utc.strftime("%FT%T.%LZ"), level:, **event, message: Printable.unicode(text), **others })
    end

    # Flushes, so that what Ruby has buffered comes before the lines of the native side.
    def descriptor(io)
      return unless io.respond_to?(:fileno) && io.fileno

      io.flush
      io.fileno
    end

    # One write for each line, so that the lines of several threads and processes do not mix.
    def print(io, line)
      line = "#{line}\n"
      # An $stderr that has replaced the one at the start belongs to the app or to a test, and is written to from here.
      return if (io.equal?(@out) || io.equal?(@handed_over)) && @native&.print(line, io.equal?(@handed_over))

      io.write(line)
      io.flush if io.respond_to?(:flush)
    end
  end
end
