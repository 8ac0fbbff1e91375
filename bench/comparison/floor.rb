# frozen_string_literal: true

require_relative "limit"

# What no server can be better than in a workload, as far as it is known: from what the app takes by itself, from how many clients there are, and
# from what was measured without Ruby in the same run. A number of several kinds of request is bounded by its own kind alone.
module Comparison
  class Floor
    def initialize(result)
      @result, @workload, @alone = result, result.workload, result.alone
    end

    # The most of a rate, the least of all else; nil where nothing is known.
    def of(number)
      client, name = number.split(".")
      case name
      when "rate" then rate(client)
      when "p50", "p90", "p99", "p999" then latency(client)
      else of_server(number)
      end
    end

    private

    def of_server(number)
      case number
      when "cpu" then cpu
      when "pss", "fresh", "settled" then @alone&.pss
      when "peak" then @alone&.peak
      when "p99_growth" then 1.0
      when "left" then 0.0
      when "idle_kib", "switches", "voluntary" then without_ruby(number).min
      end
    end

    # The core's and the app's, or the app's alone where the core was not measured; of the turns of the server that is compared, which differ by
    # nothing but how often each kind came.
    def cpu
      possible = @result.servers.filter_map { |server| @result.possible(server).values.min unless LIMITS.include?(server) }.min
      possible || @alone&.cpu&.values&.min
    end

    # What one Ruby for each process can compute, what the clients ask for, and what hyper or the core did.
    def rate(client)
      group = group_of(client)
      return group["rate"] * share(group, client) if group["rate"]

      cpu = cpu_of(client)
      wait = sleep_of(client)
      [(1e6 * @result.processes / cpu if cpu), (group["connections"] * 1000.0 / wait if wait.positive?),
       without_ruby("#{client}.rate").max].compact.min
    end

    # A request cannot be quicker than the app; and where all connections ask at once, one Ruby answers one after the other: they wait
    # for each other as long as all of them take. By the clock they need not meet.
    def latency(client)
      cpu = cpu_of(client) or return
      group = group_of(client)
      one = sleep_of(client) + cpu / 1000
      return one if group["rate"] || group["pause"]

      [one, group["connections"] * cpu / 1000 / @result.processes].max
    end

    def cpu_of(client) = @alone&.cpu&.[](client)

    def sleep_of(client) = @workload.sleeps.fetch(@workload.requests.find { |request| request["name"] == client }["path"], 0)

    def group_of(client)
      @workload.clients.find { |group| group["name"] == client || group["mix"]&.any? { |kind| kind["name"] == client } }
    end

    def share(group, client)
      return 1 unless group["mix"]

      group["mix"].find { |kind| kind["name"] == client }["share"].fdiv(group["mix"].sum { |kind| kind["share"] })
    end

    def without_ruby(number) = LIMITS.filter_map { |server| @result.number(server, number)&.median }
  end
end
