# frozen_string_literal: true

require "rbconfig"
require_relative "client"
require_relative "../support/child"

# The load: a process full of clients, seen from outside. Hands every outcome to a block as it comes.
module Rollout
  class Load
    PROGRAM = File.expand_path("client_process.rb", __dir__)

    def initialize(host:, port:, rate:, &report)
      ours, theirs = IO.pipe.reverse
      @stdin = ours
      @complaints = []
      command = [RbConfig.ruby, PROGRAM, host, port.to_s, rate.to_s]
      @child = Rig::Child.new(command, name: "clients", redirects: { in: theirs }) { |line| take(line, report) }
      theirs.close
    end

    # Lets every client finish its request, and waits until all outcomes have been reported.
    def stop(within: 15)
      @stdin.close
      @child.wait(within:)
      @child.stop
      raise Rig::Unavailable, "the clients failed: #{@complaints.first(3).join(' | ')}" unless @complaints.empty?
    end

    private

    def take(line, report)
      client, failure, began_at, ended_at = line.split("\t")
      return @complaints << line unless ended_at

      report.call(Client::Outcome.new(client, failure == "-" ? nil : failure, began_at.to_f, ended_at.to_f))
    end
  end
end
