# frozen_string_literal: true

# The app's own formatter and logger: the options log_formatter and custom_logger. The lines of the log go through them, as Puma's do: the
# formatter gets each line of the server's and returns what is printed; a logger with a method `write` gets the lines about what the server
# does, and one with `write` or `<<` those of requests.
#
# While a server runs, the lines are the native side's, and a Ruby thread (#attend) has them go through: neither a request nor the
# native threads wait for the app's code. An exception of that code costs no line: it is printed as it was.

module Tidegate
  class AppLog
    # Seconds for the thread to end, once there are no more lines.
    GRACE = 0.1

    # Seconds that the server waits for the app's code where it has no thread for that.
    LIMIT = 0.5

    # What an app's code may raise, but for what ends a process or a thread.
    FAILURES = [StandardError, ScriptError, SystemStackError].freeze
    private_constant :FAILURES

    # That of a Configuration; nil if it has neither.
    def self.of(configuration)
      parts = [configuration.log_formatter, configuration.custom_logger]
      new(*parts) if parts.any?
    end

    # +formatter+ has the method call, +logger+ has write or <<; one of them may be nil.
    def initialize(formatter, logger)
      @formatter = formatter
      @logger = logger
      @told = {}
    end

    # Whether lines of the server and lines of requests go through here.
    def relayed = [!@formatter.nil? || writes?, !@logger.nil?]

    # What is to be printed in the place of +text+, whole lines about +kind+: :event, :error or :access. Empty where the logger has it.
    def pass(kind, text)
      return log(text, text) if kind == :access
      return formatted(text) unless kind == :event && writes?

      line = formatted(text)
      log(@logger.is_a?(IO) ? line : line.chomp, line)
    end

    # As #pass, where no thread is there for it: the master of a cluster, which has more to do than to wait for the app's code, and a
    # boot. While that does not return, lines are printed as they are.
    def pass_in_time(kind, text)
      return text if @stuck&.alive?

      thread = Thread.new { surely(kind, text) }
      return thread.value || text if thread.join(LIMIT)

      @stuck = thread
      "#{text}tidegate: log_formatter or custom_logger has not returned within #{LIMIT} s; until it does, lines are printed as they are\n"
    rescue ThreadError
      text
    end

    # Has the lines of +native+, a Native::Server that is bound, go through here, in a thread, until #leave.
    def attend(native)
      @native = native
      native.attend_lines
      @thread = KeptThread.new("tidegate log", nil) { relay(native) }.start
    end

    # Ends that, when the lines that there are have been printed.
    def leave
      native, @native = @native, nil
      native&.leave_lines
      @thread.kill unless @thread.nil? || @thread.join(GRACE)
    end

    # Whether the native side passes lines on.
    def attending? = !@native.nil?

    private

    def relay(native)
      while (lines = native.next_lines)
        native.replace_lines(lines.map { |kind, text| surely(kind, text).b }.join)
      end
    end

    # #pass, for a thread that has nothing else to do: what the app's code raises here ends nothing.
    def surely(kind, text)
      pass(kind, text)
    rescue Exception => error # rubocop:disable Lint/RescueException -- this is the bottom of the thread
      "#{text}#{fault(kind == :access ? "custom_logger" : "log_formatter or custom_logger", error)}"
    end

    def writes? = @logger.respond_to?(:write)

    def formatted(text)
      return text unless @formatter

      "#{@formatter.call(text.chomp)}\n"
    rescue *FAILURES => error
      "#{text}#{fault("log_formatter", error)}"
    end

    # Has the logger write +text+; returns +line+ where it cannot.
    def log(text, line)
      writes? ? @logger.write(text) : @logger << text
      @logger.flush if @logger.is_a?(IO)
      ""
    rescue *FAILURES => error
      "#{line}#{fault("custom_logger", error)}"
    end

    # A line about what an option's code has raised, the first time.
    def fault(option, error)
      return if @told[option]

      @told[option] = true
      "tidegate: #{option} has raised #{Printable.line(ErrorReport.new(error).summary)}; such lines are printed as they are\n"
    end
  end
end
