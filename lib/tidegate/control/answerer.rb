# frozen_string_literal: true

# The Ruby thread that answers what clients of the admin listener want of Ruby. The native side hands it one question after another
# and waits for each reply, but not without end: a reply that comes too late is dropped.

require "json"

module Tidegate
  module Control
    class Answerer
      # Seconds for a command under way to come back when the server has stopped.
      GRACE = 0.1

      # The parts that an answer may first need when no file can be opened any more.
      LATE = %w[Backtraces Printable ErrorReport].freeze
      private_constant :LATE

      # The commands that need nothing but Ruby, by their names.
      OWN = {
        "gc" => -> { GC.start && nil },
        "gc-stats" => -> { GC.stat },
        "thread-backtraces" => -> { Backtraces.new.entries.map(&:to_h) }
      }.freeze

      # +native+ is a Native::Server that listens. The block carries out the other commands: it gets the name of one and returns
      # whether it was done, with a sentence; nil where this server has no such command.
      def initialize(native, log, &steering)
        @native = native
        @log = log
        @steering = steering
        LATE.each { |name| Tidegate.const_get(name) }
      end

      def start
        @thread = KeptThread.new("tidegate control", @log) { answer_all }.start
        self
      end

      # Ends the thread, once the native side has no more questions.
      def finish
        @thread.kill unless @thread.join(GRACE)
      end

      # The outcome of a command and its text, as Native::Server#answer takes them.
      def reply(name)
        own = OWN[name]
        return done(own.call || { status: "ok" }) if own

        carried_out, sentence = @steering.call(name)
        case carried_out
        when nil then [:unavailable, ""]
        when false then [:failed, sentence]
        else done({ status: "ok", message: sentence }.compact)
        end
      rescue StandardError => error
        @log.report(error, event: "command_failed") { |summary| "the command #{name} failed: #{summary}" }
        [:failed, "#{name} failed: #{ErrorReport.new(error).summary}"]
      end

      private

      def done(answer) = [:done, JSON.generate(answer)]

      def answer_all
        while (id, name = @native.next_question)
          @native.answer(id, *reply(name))
        end
      end
    end
  end
end
