# frozen_string_literal: true

# Blocks of the configuration that run at a certain moment, such as after_booted. The exception of one is logged; the other
# blocks run, and the server goes on.

module Tidegate
  class Hooks
    # Ends a hook that does not return, in the master of a cluster that is told to stop. It is raised nowhere else.
    class HeldUp < Exception # rubocop:disable Lint/InheritException -- a hook is not to rescue it
    end

    # The name of the hook that +thread+ is in; nil for none.
    # @api private
    def self.of(thread) = thread.thread_variable_get(:tidegate_hook)

    # +name+ is the name of the option, +blocks+ are callables.
    def initialize(name, blocks, log)
      @name = name
      @blocks = blocks
      @log = log
    end

    # Runs the blocks, one after the other. A block gets as many of +arguments+ as it takes.
    def run(*arguments) = @blocks.each { |block| attempt(block, arguments) }

    # As many of +arguments+ as +callable+ takes: a lambda or a method refuses more.
    # @api private
    def self.fitting(callable, arguments)
      parameters = callable.respond_to?(:parameters) ? callable.parameters : callable.method(:call).parameters
      return arguments if parameters.any? { |kind, _| kind == :rest }

      arguments.first(parameters.count { |kind, _| %i[req opt].include?(kind) })
    rescue NameError
      arguments # it answers call by method_missing
    end

    private

    def attempt(block, arguments)
      within { block.call(*self.class.fitting(block, arguments)) }
    rescue StandardError, ScriptError => error
      @log.report(error, event: "hook_error", hook: @name) { |summary| "the hook #{@name} raised #{summary}" }
    rescue HeldUp => error
      fate = "did not return, and was given up because the cluster is told to stop"
      @log.report(error, event: "hook_error", hook: @name) { "the hook #{@name} #{fate}" }
    end

    # A master lets HeldUp come in a hook alone.
    def within(&)
      Thread.current.thread_variable_set(:tidegate_hook, @name)
      Thread.handle_interrupt(HeldUp => :immediate, &)
    ensure
      Thread.current.thread_variable_set(:tidegate_hook, nil)
    end
  end

  # A hook with a key, such as `before_worker_boot(:pool) { |index, data| ... }`: it gets a Hash as its second argument, the same in
  # all hooks of that key, so that what one opens another can close. Each process has its own, as a fork copies it.
  class KeyedHook
    # +data+ is the Hash.
    def initialize(block, data)
      @block = block
      @data = data
    end

    # Runs the block, with nil as its first argument where the moment has none.
    def call(*arguments) = @block.call(*Hooks.fitting(@block, [arguments.first, @data]))
  end
end
