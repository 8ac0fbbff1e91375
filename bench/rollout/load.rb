# frozen_string_literal: true

require "rbconfig"
require_relative "client"
require_relative "../support/child"

# The load: a process full of clients, seen from outside. Hands every outcome to a block as it comes.
module Rollout
  class Load
    PROGRAM = File.expand_path("client_process.rb", __dir__)

    # `inside` is put before the command, to run it in a network of ours; `clients` are the kinds of them, nil for all; with `tls`
    # they encrypt.
    def initialize(host:, port:, rate:, inside: [], clients: nil, tls: false, &report)
      theirs, @stdin = IO.pipe
      @complaints = []
      command = [*inside, RbConfig.ruby, PROGRAM, *("--tls" if tls), host, port.to_s, rate.to_s, *clients&.join(",")]
      @child = Rig::Child.new(command, name: "clients", redirects: { in: theirs }, keep: 10) { |line| take(line, report) }
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
      client, failure, began_at, ended_at, port = line.split("\t")
      return @complaints.size < 10 && @complaints << line unless ended_at

      report.call(Client::Outcome.new(client, failure == "-" ? nil : failure, began_at.to_f, ended_at.to_f, port&.to_i))
    end
  end
end
