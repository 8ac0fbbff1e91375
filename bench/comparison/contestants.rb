# frozen_string_literal: true

require_relative "../support/servers"
require_relative "statistics"

# The servers that take part in a workload, and with how many threads. The server that the others are compared with is searched: it
# takes part with the thread count that is best for its throughput and with the one that is best for its p99, and a ratio
# is always to the better of them in that number. All others of its family have its best count for throughput.
module Comparison
  Contestant = Struct.new(:name, :kind)

  # What the search found: for each count the numbers asked for, and for each number the best count.
  Found = Struct.new(:tried, :best) do
    def self.of(tried, names)
      new(tried, names.to_h { |name| [name, tried.keys.public_send(lower?(name) ? :min_by : :max_by) { |count| tried[count][name] }] })
    end

    def self.lower?(name) = !name.end_with?("rate")

    def counts = best.values.uniq

    def to_s = best.map { |name, count| "#{name} with #{count}" }.join(", ")
  end

  class Contestants
    COUNTS = [1, 2, 5, 16, 32, 64].freeze
    PUMA = /\Apuma\d*\z/
    WITH_COUNT = /\A(?:haproxy\+)?puma\d*\z/
    OWN_COUNT = /\A(puma\d*|tidegate(?:-tied)?):(\d+)\z/

    attr_reader :missing, :found

    # `names` as on the command line; `threads` for all Pumas, or nil to search; `workers` for all servers.
    def initialize(names, baseline:, threads: nil, workers: nil)
      @names, @baseline, @threads, @workers = names, baseline, threads, workers
      @missing = {}
    end

    # Whether a thread count has to be found first.
    def search? = @threads.nil? && @baseline.match?(PUMA)

    # Tries each count with the block, which returns a Turn (or nil if it could not be measured).
    def search(counts, best_by)
      tried = counts.filter_map do |count|
        turn = yield contestant(@baseline, count)
        [count, best_by.to_h { |name| [name, turn.value(name)] }] if turn
      end
      @found = Found.of(tried.to_h, best_by) unless tried.empty?
    end

    # Those that are here. What is missing is left out, and remembered in `missing`.
    def to_a
      @names.flat_map { |name| known(name) }
    end

    # The name of the contestant that is compared with in that number.
    def baseline_for(number)
      return label(@baseline, fixed) unless @found

      label(@baseline, @found.best[number] || @found.best.values.first)
    end

    private

    def fixed = @baseline.match?(PUMA) ? @threads || 5 : nil

    def known(name)
      return @found.counts.map { |count| contestant(name, count) } if name == @baseline && @found

      [contestant(name, name.match?(WITH_COUNT) ? @found&.best&.values&.first || @threads || 5 : nil)]
    rescue Rig::Unavailable => error
      @missing[name] = error.message
      []
    end

    # "puma8:16" and "tidegate:16" have their own count, a Puma that one, all others the default of the server.
    def contestant(name, count)
      server, own = name.match(OWN_COUNT)&.captures
      kind = Rig::Servers.find(server || name, threads: own || count, workers: @workers)
      Contestant.new(own ? name : label(kind.name, count), kind)
    end

    def label(name, count) = count ? "#{name}:#{count}" : name
  end
end
