# frozen_string_literal: true

# The lines that Tidegate itself prints: what it does goes to the standard output, what is wrong to the standard error. As
# sentences for people, or as JSON objects for machines. While a server runs, its native side writes them, so that no thread
# of ours waits for a reader that does not read.

# Now, and not when the first exception comes: there may be no descriptor left then to read a file with.
require_relative "log/error_report"
require_relative "log/printable"

module Tidegate
  class Log
    # +silent+ keeps what is wrong and drops the rest; +json+ makes each line an object of time, level and message.
    # Without +err+, what is wrong goes to the $stderr of that moment.
    def initialize(out: $stdout, err: nil, silent: false, json: false)
      @out = out
      @err = err
      @silent = silent
      @json = json
      require "json" if json
    end

    # The same log as +configuration+ wants it.
    def for(configuration)
      self.class.new(out: @out, err: @err, silent: configuration.silent, json: configuration.log_format == :json)
    end

    # Prints one line about what the server does.
    def info(text)
      write(@out, "info", text) unless @silent
    end

    # Prints one line about something wrong.
    def error(text, **fields) = write(err, "error", text, fields)

    # Prints what +error+, an exception, was: in the sentence that the block makes of its class and message, and below that
    # where it came from. In JSON all of it is one object, with +event+ and +fields+. With +detail+ the sentence has only part of
    # the exception's message. It is not known whom to tell when that fails: $stderr may be anything that has a write.
    def report(error, event:, detail: false, **fields)
      report = ErrorReport.new(error)
      sentence = yield report.summary
      line = @json ? json("error", sentence, { event:, **fields, **told(report, detail) }) : in_lines(sentence, report, detail)
      attempt { print(err, line) }
    end

    # The descriptor that the native side writes its own lines to; nil for none.
    def fileno = (descriptor(@out) unless @silent)

    # The one for what is wrong; nil where it is no file.
    def error_fileno = descriptor(err)

    # From now on +native+, a Native::Server that listens, writes the lines.
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

    # What Ruby has buffered comes first.
    def descriptor(io)
      return unless io.respond_to?(:fileno) && io.fileno

      io.flush
      io.fileno
    end

    # One write for each line, so that the lines of several threads and processes do not mix.
    def print(io, line)
      line = "#{line}\n"
      # An $stderr that was put in the place of the first is the app's, or a test's.
      return if (io.equal?(@out) || io.equal?(@handed_over)) && @native&.print(line, io.equal?(@handed_over))

      io.write(line)
      io.flush if io.respond_to?(:flush)
    end
  end
end
