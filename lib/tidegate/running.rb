# frozen_string_literal: true

# The servers that run in this process. Usually there is one; a test suite may have several.

module Tidegate
  module Running
    @servers = [].freeze
    @mutex = Mutex.new

    class << self
      # The servers, in the order in which they started.
      attr_reader :servers

      # Adds +server+, when it has started.
      def add(server) = @mutex.synchronize { @servers = [*@servers, server].freeze }

      # Removes +server+, when it has stopped.
      def remove(server) = @mutex.synchronize { @servers = (@servers - [server]).freeze }
    end
  end
end
