# frozen_string_literal: true

# Why a command could not be carried out, in one sentence for the person at the terminal.

module Tidegate
  module Control
    class Failure < Error
      # The exit status of a command that was written wrongly.
      USAGE = 2

      # The exit status of the process.
      attr_reader :status

      def initialize(sentence, status: 1)
        super(sentence)
        @status = status
      end
    end
  end
end
