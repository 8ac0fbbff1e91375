# frozen_string_literal: true

# What the admin listener tells of a server at one moment, read for `tidegate top`: /stats, /status and the histograms of /metrics.

require "json"

module Tidegate
  module Control
    # +at+ in seconds of any clock; +histograms+ has, by name, how many values were at most as large as each bound, in seconds;
    # +requests+ is how many are over, those of workers that are gone included.
    Numbers = Data.define(:at, :stats, :status, :histograms, :memory, :requests) do
      # Asks with a Client. Raises a Failure.
      def self.take(client, at:)
        read(at:, stats: client.get("/stats"), status: client.get("/status"), metrics: client.get("/metrics"))
      end

      # Reads the three texts. Raises a Failure.
      def self.read(at:, stats:, status:, metrics:)
        stats, status = [stats, status].map { |text| JSON.parse(text) }
        raise Failure, "/stats and /status are not those of Tidegate" unless [stats, status].all?(Hash)

        new(at:, stats:, status:, histograms: histograms(metrics), memory: memory(metrics),
            requests: metrics.scan(self::REQUESTS).sum { |(count)| count.to_f.to_i })
      rescue JSON::ParserError
        raise Failure, "/stats and /status are not those of Tidegate"
      end

      def self.histograms(text)
        found = Hash.new { |hash, name| hash[name] = Hash.new(0) }
        text.scan(self::BUCKET) do |name, labels, count|
          bound = labels[/\ble="([^"]+)"/, 1] or next
          found[name][bound == "+Inf" ? Float::INFINITY : bound.to_f] += count.to_i
        end
        found.each_value(&:freeze)
        found.default = {}.freeze
        found.freeze
      end

      # Bytes by the worker's index; nil is the key of a process without one.
      def self.memory(text)
        text.scan(self::MEMORY).to_h { |labels, bytes| [labels.to_s[/\bworker="(\d+)"/, 1]&.to_i, bytes.to_f.to_i] }
      end

      private_class_method :histograms, :memory

      def cluster? = stats["worker_status"].is_a?(Array)

      def version = stats.dig("versions", "tidegate").to_s

      def phase = status["phase"].to_s

      # The Workers; one for a server that is a single process.
      def workers
        return [worker({}, stats, memory[nil])] unless cluster?

        stats["worker_status"].map { |row| worker(row, row["last_status"] || {}, memory[row["index"]]) }
      end

      private

      def worker(row, numbers, memory)
        ours = [row["tidegate"], numbers["tidegate"]].grep(Hash).reduce({}, :merge)
        Numbers::Worker.new(
          index: row["index"], pid: row["pid"], round: row["phase"], state: state(row, ours),
          busy: numbers["busy_threads"], threads: numbers["running"], max: numbers["max_threads"], queue: numbers["backlog"],
          in_flight: ours["in_flight"], connections: ours["connections"], requests: numbers["requests_count"],
          memory: memory || row["rss"] || ours["rss"]
        )
      end

      def state(row, ours)
        (row["state"] || ours["state"] || ours["phase"] || (row["booted"] == false ? "booting" : "serving")).to_s
      end
    end

    # One worker. +round+ is Puma's phase: how many phased restarts there had been before it. What is not known is nil.
    Numbers::Worker = Data.define(:index, :pid, :round, :state, :busy, :threads, :max, :queue, :in_flight, :connections, :requests, :memory)

    Numbers::BUCKET = /^(tidegate_\w+)_bucket\{([^}]*)\} (\d+)/
    Numbers::REQUESTS = /^tidegate_requests_total(?:\{[^}]*\})? ([\d.eE+]+)/
    Numbers::MEMORY = /^tidegate_resident_memory_bytes(?:\{([^}]*)\})? ([\d.eE+]+)/
  end
end
