# frozen_string_literal: true

# The lines that Tidegate itself prints: what it does goes to the standard output, what is wrong to the standard error.

module Tidegate
  class Log
    # +silent+ keeps what is wrong and drops the rest.
    def initialize(out: $stdout, err: $stderr, silent: false)
      @out = out
      @err = err
      @silent = silent
    end

    # The same log, silent or not.
    def with(silent:) = self.class.new(out: @out, err: @err, silent:)

    # Prints one line about what the server does.
    def info(text)
      write(@out, "tidegate: #{text}") unless @silent
    end

    # Prints one line about something wrong.
    def error(text) = write(@err, "tidegate: #{text}")

    # Prints text as it is, below an error.
    def detail(text) = write(@err, text.chomp)

    # The descriptor that the native side writes its own lines to; nil for none.
    def fileno
      return if @silent

      @out.flush
      @out.fileno
    end

    private

    # One write for each line, so that the lines of several threads and processes do not mix.
    def write(io, line)
      io.write("#{line}\n")
      io.flush
    end
  end
end
