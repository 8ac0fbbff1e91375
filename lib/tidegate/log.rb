# frozen_string_literal: true

# The lines that Tidegate itself prints: what it does goes to the standard output, what is wrong to the standard error. As
# sentences for people, or as JSON objects for machines. While a server runs, its native side writes them, so that no thread
# of ours waits for a reader that does not read.

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
    def fileno = (descriptor(@out) unless @silent)

    # The one for what is wrong; nil where it is no file.
    def error_fileno = descriptor(@err)

    # From now on +native+, a Native::Server that listens, writes the lines.
    def hand_over(native) = @native = native

    private

    def write(io, level, text)
      print(io, @json ? json(level, text) : "tidegate: #{text}")
    end

    def json(level, text)
      require "json"
      JSON.generate(time: Time.now.utc.strftime("%FT%T.%LZ"), level:, message: text.dup.force_encoding(Encoding::UTF_8).scrub)
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
      return if @native&.print(line, io.equal?(@err))

      io.write(line)
      io.flush
    end
  end
end
