# frozen_string_literal: true

# The lines that Tidegate itself prints: what it does goes to the standard output, what is wrong to the standard error. As
# sentences for people, or as JSON objects for machines.

module Tidegate
  class Log
    # +silent+ keeps what is wrong and drops the rest; +json+ makes each line an object of time, level and message.
    def initialize(out: $stdout, err: $stderr, silent: false, json: false)
      @out = out
      @err = err
      @silent = silent
      @json = json
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
    def error(text) = write(@err, "error", text)

    # Prints text as it is, below an error.
    def detail(text) = @json ? write(@err, "error", text.chomp) : print(@err, text.chomp)

    # The descriptor that the native side writes its own lines to; nil for none.
    def fileno
      return if @silent

      @out.flush
      @out.fileno
    end

    private

    def write(io, level, text)
      print(io, @json ? json(level, text) : "tidegate: #{text}")
    end

    def json(level, text)
      require "json"
      JSON.generate(time: Time.now.utc.strftime("%FT%T.%LZ"), level:, message: text.dup.force_encoding(Encoding::UTF_8).scrub)
    end

    # One write for each line, so that the lines of several threads and processes do not mix.
    def print(io, line)
      io.write("#{line}\n")
      io.flush
    end
  end
end
