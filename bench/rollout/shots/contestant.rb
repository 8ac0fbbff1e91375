# frozen_string_literal: true

require_relative "../../support/servers"

# A server under test, as one shot starts it: by its name in the table.
module Rollout
  module Shots
    class Contestant
      APP = File.expand_path("app.ru", __dir__)
      DRAINING_PUMA = ["-C", File.expand_path("drain_on_shutdown.rb", __dir__)].freeze

      # Tidegate without a drain delay, since the shots are about the end of serving; and Puma as it comes, and with
      # all that it can do against losses. Each has so many worker processes; with 0 it is a single process.
      def self.all(workers: 0)
        puma = Rig::Servers.find("puma8")
        draining = puma.dup.tap { |kind| kind.command = [*puma.command[..-2], *DRAINING_PUMA, puma.command.last] }
        [new("Tidegate", Rig::Servers.tidegate, workers), new("Puma 8", puma, workers), new("Puma 8, drain_on_shutdown", draining, workers)]
      end

      attr_reader :name

      def initialize(name, kind, workers = 0)
        @name, @kind = name, kind.dup
        @kind.env = { **kind.env, "WEB_CONCURRENCY" => workers.to_s } if workers.positive?
      end

      def tidegate? = @kind.name == "tidegate"

      # A server that is ready; `inside` is what a command has before it to run in a namespace.
      def start(host:, port:, inside: [])
        kind = @kind.dup
        kind.command = [*inside, *@kind.command]
        kind.start(host:, port:, app: APP).ready!
      end
    end
  end
end
