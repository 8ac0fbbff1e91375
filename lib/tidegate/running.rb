# frozen_string_literal: true

# The servers that run in this process. There is one as a rule; test suites have several.

module Tidegate
  module Running
    @servers = [].freeze
    @mutex = Mutex.new

    class << self
      # The servers, in the order in which they started.
      attr_reader :servers

      # Counts +server+ in from now on.
      def add(server) = @mutex.synchronize { @servers = [*@servers, server].freeze }

      # Counts it out again.
      def remove(server) = @mutex.synchronize { @servers = (@servers - [server]).freeze }
    end
  end
end
