# frozen_string_literal: true

# What plugins register for moments of the server's life, as Puma::Events.

module Tidegate
  module PumaCompat
    class Events
      def initialize
        @blocks = Hash.new { |blocks, name| blocks[name] = [] }
      end

      # Keeps the block, or +callable+, for the moment +name+.
      def register(name, callable = nil, &block)
        (callable || block).tap { |each| @blocks[name] << each }
      end

      # Runs what was registered, one after the other.
      def fire(name, *arguments) = @blocks[name].each { |each| each.call(*arguments) }

      { after_booted: :on_booted, after_stopped: :on_stopped, before_restart: :on_restart }.each do |name, old|
        define_method(name) { |&block| register(name, &block) }
        alias_method old, name
      end
    end
  end
end
