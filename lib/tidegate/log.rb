# frozen_string_literal: true

# The lines that Tidegate itself prints: what it does goes to the standard output, what is wrong to the standard error, as
# sentences for people or as JSON objects for machines. While a server runs, its native side writes the lines, so that no Ruby
# thread waits for a reader that does not read.

# These are loaded now, because there may be no free descriptor to read a file with when the first exception comes.
require_relative "log/app_log"
require_relative "log/error_report"
require_relative "log/outlet"
require_relative "log/printable"

module Tidegate
  # Where {Server} writes its lines: `Tidegate::Server.new(app, log: Tidegate::Log.new(silent: true))`.
  class Log
    # Seconds that a line waits for a reader of its pipe, where none was lost before it.
    PATIENCE = 0.5
    private_constant :PATIENCE

    # @param out [#write] for the lines about what the server does
    # @param err [#write, nil] for the lines about what is wrong; nil for what $stderr is when the line is printed
    # @param silent [Boolean] whether the lines about what the server does are dropped
    # @param json [Boolean] whether each line is an object with time, level and message
    # @param app_log [AppLog, nil] the app's own formatter and logger
    def initialize(out: $stdout, err: nil, silent: false, json: false, app_log: nil)
      @out = out
      @err = err
      @silent = silent
      @json = json
      @app_log = app_log
      @lost = Hash.new(0).compare_by_identity
      require "json" if json
    end

    # A log to the same places, as +configuration+ wants it. What this one was told holds as well.
    # @param configuration [Configuration]
    # @return [Log]
    def for(configuration)
      self.class.new(out: @out, err: @err, silent: @silent || configuration.silent, json: @json || configuration.log_format == :json,
                     app_log: AppLog.of(configuration) || @app_log)
    end

    # Prints one line about what the server does.
    # @param text [String] one sentence
    # @param fields [Hash{Symbol => Object}] further members of the JSON object
    # @return [void]
    def info(text, **fields)
      write(:event, @out, "info", text, fields) unless @silent
    end

    # Prints one line about something wrong.
    # @param text [String] one sentence
    # @param fields [Hash{Symbol => Object}] further members of the JSON object
    # @return [void]
    def error(text, **fields) = write(:error, err, "error", text, fields)

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
      attempt { print(:error, err, line) }
    end

    # Prints where threads are: a sentence, and below it the lines of each of +entries+, which are those of Backtraces. In JSON all of
    # it is one object.
    # @param text [String] one sentence
    # @param entries [Array<Backtraces::Entry>]
    # @return [void]
    def backtraces(text, entries)
      line = @json ? json("info", text, { event: "backtraces", threads: entries.map(&:to_h) }) : in_entries(text, entries)
      attempt { print(:error, err, line) }
    end

    # The descriptor that the native side writes the lines about what the server does to.
    # @return [Integer, nil] nil for no such lines
    def fileno = (descriptor(@out) unless @silent)

    # The descriptor that the native side writes the lines about what is wrong to.
    # @return [Integer, nil] nil if that is no file
    def error_fileno = descriptor(err)

    # Whether lines of the server and lines of requests go through the app's formatter or logger, as the native side takes it.
    # @api private
    # @return [Array<Boolean>, nil] nil where it has neither
    def relayed = @app_log&.relayed

    # Has +native+, a Native::Server that listens, write the lines from now on.
    # @api private
    def hand_over(native)
      @native = native
      @handed_over = err
    end

    # Has the lines of +native+, a Native::Server that is bound, go through the app's formatter and logger from now on. They wait
    # for a thread of this process.
    # @api private
    def attend(native) = @app_log&.attend(native)

    # Ends that: what comes now goes through them before the native side gets it.
    # @api private
    def leave = @app_log&.leave

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

    def write(kind, io, level, text, fields = {})
      print(kind, io, @json ? json(level, text, fields) : "tidegate: #{Printable.line(text)}")
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
    rescue SystemCallError
      io.fileno # what was buffered cannot be written
    end

    # One write for each line, so that the lines of several threads and processes do not mix. +kind+ is :event or :error.
    def print(kind, io, line)
      line = "#{line}\n"
      # An $stderr that has replaced the one at the start belongs to the app or to a test, and is written to from here.
      native = @native if io.equal?(@out) || io.equal?(@handed_over)
      error = io.equal?(@handed_over)
      return if (@app_log.nil? || @app_log.attending?) && native&.print(line, error)

      line = @app_log.pass_in_time(kind, line) if @app_log
      return if line.empty? || (@app_log && native&.print(line, error))

      deliver(io, line)
    end

    # A line that cannot be written is lost, and the next one that can says so.
    def deliver(io, line)
      lost = @lost[io]
      line = "#{lost_sentence(lost)}\n#{line}" if lost.positive?
      @lost[io] = Outlet.write(io, line, patience: lost.zero? ? PATIENCE : 0) ? 0 : lost + 1
    end

    def lost_sentence(count)
      text = "#{count} #{count == 1 ? "line" : "lines"} of this log could not be written, or not fast enough"
      @json ? json("error", text, { event: "lines_lost" }) : "tidegate: #{text}"
    end
  end
end
