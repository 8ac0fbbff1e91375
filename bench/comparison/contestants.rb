# frozen_string_literal: true

require_relative "../support/servers"
require_relative "limit"
require_relative "statistics"

# The servers that take part in a workload, and with how many threads. For each server that has a number of threads to choose it is searched:
# the server takes part with the count that is best for its throughput and with the one that is best for its p99, and a ratio to it
# is always to the better of them in that number. Tidegate runs with its defaults, unless its name says otherwise.
module Comparison
  # A server by its name on the command line: "puma8", "agoo:4", "tidegate:0:4000", "falcon=/path", or a command with {port}.
  Name = Struct.new(:server, :count, :path) do
    # The count, where there is one, is N or MIN:MAX.
    def self.parse(text)
      return new(text) if text.match?(/\{(?:port|addr)\}/)

      match = /\A([\w+-]+?)(?::(\d+(?::\d+)?))?(?:=(.+))?\z/m.match(text)
      match ? new(*match.captures) : new(text)
    end

    def known? = LIMITS.include?(server) || Rig::Servers.known?(server)

    # What the table calls it.
    def label = [server, count].compact.join(":")
  end

  Contestant = Struct.new(:name, :kind)

  # What a search found: for each count the numbers asked for, and for each number the best count.
  Found = Struct.new(:tried, :best) do
    def self.of(tried, names)
      new(tried, names.to_h { |name| [name, tried.keys.public_send(lower?(name) ? :min_by : :max_by) { |count| tried[count][name] }] })
    end

    def self.lower?(name) = !name.end_with?("rate")

    def counts = best.values.uniq

    # The count that is best in that number, or in the first that was looked at.
    def count_for(number) = best[number] || best.values.first

    def to_s = best.map { |name, count| "#{name} with #{count}" }.join(", ")
  end

  class Contestants
    COUNTS = [1, 2, 5, 16, 32, 64].freeze
    PUMA = /\A(?:haproxy\+)?puma\d*\z/

    # By the name of the server: why it is missing; what a search found.
    attr_reader :missing, :found

    # `names` as on the command line; `threads` for all that have a number to choose, or nil to search; `workers` for all servers. `limits` makes
    # the Kinds of Limit, `tidegate` is what Tidegate has for -t where its name does not say.
    def initialize(names, baseline:, threads: nil, workers: nil, ruby: Rig::Interpreter.default, limits: nil, tidegate: nil)
      @names = names.map { |name| Name.parse(name) }
      @baseline = Name.parse(baseline)
      @threads, @workers, @ruby, @limits, @tidegate = threads, workers, ruby, limits, tidegate
      @missing, @found = {}, {}
    end

    # The servers whose thread count has to be found first: the one that is compared with, and all rivals that have one. Other Pumas have the
    # count of the first.
    def searched
      return [] if @threads

      @names.select { |name| name.count.nil? && Rig::Servers.threads?(name.server) && (name.server == @baseline.server || !name.server.match?(PUMA)) }
    end

    # Tries each count of that server with the block, which returns a Turn (or nil if it could not be measured).
    def search(name, counts, best_by)
      tried = counts.filter_map do |count|
        turn = yield contestant(name, count)
        [count, best_by.to_h { |number| [number, turn.value(number)] }] if turn
      end
      @found[name.server] = Found.of(tried.to_h, best_by) unless tried.empty?
    rescue Rig::Unavailable => error
      @missing[name.label] = error.message
      nil
    end

    # Those that are here. What is missing is left out, and remembered in `missing`.
    def to_a
      @to_a ||= @names.reject { |name| @missing[name.label] }.flat_map { |name| known(name) }
    end

    # The servers that have a number of threads to choose, Tidegate among them; and those contestants that have none, or their defaults.
    def servers_with_threads
      here = @names.reject { |name| @missing[name.label] }
      here.map(&:server).uniq.select { |server| Rig::Servers.threads?(server) || server == "tidegate" }
    end

    def without_threads = to_a.reject { |contestant| contestant.name.include?(":") || Rig::Servers.threads?(contestant.name) }

    # That server with so many threads.
    def with_threads(server, count)
      name = @names.find { |one| one.server == server && one.count.nil? } || @names.find { |one| one.server == server }
      contestant(Name.new(name.server, count, name.path), nil)
    end

    # The name of the contestant that is compared with in that number.
    def baseline_for(number) = contestant_of(@baseline.label, number)

    # The same for any server: with the count that is best for it in that number.
    def contestant_of(label, number)
      name = @names.find { |one| one.label == label }
      name ? label(name, @found[name.server]&.count_for(number) || fixed(name)) : label
    end

    private

    def fixed(name)
      return unless name.count.nil? && Rig::Servers.threads?(name.server)

      (@found[@baseline.server]&.count_for(nil) if name.server.match?(PUMA)) || @threads || 5
    end

    def known(name)
      counts = name.count.nil? && @found[name.server]&.counts
      (counts || [fixed(name)]).map { |count| contestant(name, count) }
    rescue Rig::Unavailable => error
      @missing[name.label] = error.message
      []
    end

    # With that many threads, or those that the name has; all others have the default of the server.
    def contestant(name, count) = Contestant.new(label(name, count), kind(name, name.count || count))

    def kind(name, threads)
      if LIMITS.include?(name.server)
        raise Rig::Unavailable, "#{name.server} is not measured here" unless @limits

        return @limits.kind(name.server, threads: threads || (@tidegate if name.server == "core"))
      end

      threads ||= @tidegate if name.server.start_with?("tidegate")
      Rig::Servers.find(name.server, threads:, workers: @workers, path: name.path, ruby: @ruby)
    end

    # A command may have a name of its own.
    def label(name, count)
      return Rig::Servers.find(name.server, workers: @workers).name if name.server.match?(/\{(?:port|addr)\}/)

      name.count || count.nil? ? name.label : "#{name.label}:#{count}"
    end
  end
end
