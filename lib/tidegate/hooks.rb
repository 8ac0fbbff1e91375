# frozen_string_literal: true

# Blocks of the configuration that run at a certain moment, such as after_booted. The exception of one is logged; the other
# blocks run, and the server goes on.

module Tidegate
  class Hooks
    # +name+ is the name of the option, +blocks+ are callables.
    def initialize(name, blocks, log)
      @name = name
      @blocks = blocks
      @log = log
    end

    # Runs the blocks, one after the other.
    def run = @blocks.each { |block| attempt(block) }

    private

    def attempt(block)
      block.call
    rescue StandardError, ScriptError => error
      @log.report(error, event: "hook_error", hook: @name) { |summary| "the hook #{@name} raised #{summary}" }
    end
  end
end
