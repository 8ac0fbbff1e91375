# frozen_string_literal: true

# The text of `tidegate top`, made of two Numbers: what has happened between them, and where things stand. Pure: nothing is asked or
# printed here.

module Tidegate
  module Control
    class Table
      # Heading, and what stands below it.
      COLUMNS = {
        "WORKER" => :index, "PID" => :pid, "STATE" => :state, "PHASE" => :round, "BUSY" => :threads, "QUEUE" => :queue,
        "IN FLIGHT" => :in_flight, "CONNS" => :connections, "REQ/S" => :rate, "MEMORY" => :memory
      }.freeze

      LEFT = %w[STATE].freeze

      WAITS = { "queue wait" => "tidegate_queue_wait_seconds", "GVL wait" => "tidegate_gvl_wait_seconds",
                "app time" => "tidegate_app_time_seconds" }.freeze

      UNKNOWN = "-"

      UNITS = %w[B K M G T].freeze

      # The value below which +share+ of what came between two cumulative histograms lies, in seconds; nil where nothing came. It lies
      # somewhere in a bucket, and is taken to lie in proportion.
      def self.quantile(share, after, before)
        counts = after.sort.map { |bound, count| [bound, count - before.fetch(bound, 0)] }
        total = counts.last&.last.to_i
        return unless total.positive?

        rank = share * total
        index = counts.index { |_, count| count >= rank }
        (upper, count), (lower, below) = counts[index], index.zero? ? [0.0, 0] : counts[index - 1]
        return lower if upper.infinite?

        count == below ? upper : lower + ((upper - lower) * (rank - below) / (count - below))
      end

      # +before+ is nil for a first look, which has no rates.
      def initialize(now, before = nil, url:)
        @now = now
        @before = before
        @url = url
      end

      # Lines, each cut to +width+ columns; those of the workers that do not fit into +height+ are only counted.
      def lines(width: 120, height: nil)
        top = head
        rows = @now.workers.sort_by { |worker| [worker.index || -1, worker.pid || 0] }.map { |worker| row(worker) }
        hidden = height ? [rows.size - [height - top.size - 3, 1].max, 0].max : 0
        shown = rows.first(rows.size - hidden)
        table = align(known_columns([COLUMNS.keys, *shown]))
        table << "and #{hidden} more" if hidden.positive?
        [*top, "", *table].map { |line| line[0, width].rstrip }
      end

      private

      def head
        workers = @now.workers
        [
          ["tidegate #{clean(@now.version)}", clean(@now.phase), (count(workers.size, "worker") if @now.cluster?), clean(@url)].compact.join("   "),
          drain,
          ["requests #{rate || UNKNOWN}/s", "in flight #{known(@now.status["in_flight"])}",
           "queue #{sum(workers.map(&:queue))}", "threads busy #{sum(workers.map(&:busy))}/#{sum(workers.map(&:max))}",
           "connections #{known(@now.status["connections"])}"].join("   "),
          waits
        ]
      end

      def drain
        left = @now.status["seconds_left"]
        return "#{clean(@now.phase)}, #{seconds(left)} left" if left

        plan = @now.status["plan"]
        return "on TERM: unknown" unless plan.is_a?(Hash)

        "on TERM: #{seconds(plan["drain_delay"])} of drain delay, then #{seconds(plan["shutdown_timeout"])} to finish"
      end

      def waits
        WAITS.map do |name, metric|
          values = [0.5, 0.99].map { |share| @before && self.class.quantile(share, @now.histograms[metric], @before.histograms[metric]) }
          "#{name} p50 #{milliseconds(values.first)} p99 #{milliseconds(values.last)}"
        end.join("   ")
      end

      def row(worker)
        cells = worker.to_h.merge(
          state: clean(worker.state), threads: "#{known(worker.busy)}/#{known(worker.max)}", memory: size(worker.memory),
          rate: worker_rate(worker)
        )
        COLUMNS.values.map { |name| known(cells[name]) }
      end

      def rate = @before && per_second([@now.requests - @before.requests, 0].max)

      def worker_rate(worker)
        @before && answered(worker)&.then { |count| per_second(count) }
      end

      def answered(worker)
        earlier = @before.workers.find { |other| [other.index, other.pid] == [worker.index, worker.pid] }
        worker.requests && [worker.requests - (earlier&.requests || (@now.cluster? ? 0 : worker.requests)), 0].max
      end

      def per_second(count)
        elapsed = @now.at - @before.at
        elapsed.positive? ? format("%.0f", count / elapsed) : UNKNOWN
      end

      # A single process has no index, for one.
      def known_columns(rows)
        rows.transpose.reject { |_, *cells| cells.all?(UNKNOWN) }.transpose
      end

      def align(rows)
        widths = rows.transpose.map { |column| column.map(&:length).max }
        rows.map do |cells|
          cells.each_with_index.map do |cell, index|
            LEFT.include?(rows.first[index]) ? cell.ljust(widths[index]) : cell.rjust(widths[index])
          end.join("  ")
        end
      end

      def known(value) = value.nil? ? UNKNOWN : clean(value.to_s)

      # From another process, and on its way to a terminal.
      def clean(text) = Printable.line(text)

      def sum(values) = values.compact.then { |known| known.empty? ? UNKNOWN : known.sum }

      def count(number, noun) = "#{number} #{noun}#{"s" unless number == 1}"

      def seconds(value) = value.is_a?(Numeric) ? format("%.1f s", value) : UNKNOWN

      def milliseconds(value) = value ? format(value < 0.01 ? "%.1f ms" : "%.0f ms", value * 1000) : UNKNOWN

      def size(bytes)
        return unless bytes

        exponent = 0
        value = bytes.to_f
        while value >= 1024 && exponent < UNITS.size - 1
          value /= 1024
          exponent += 1
        end
        format(value < 10 && exponent.positive? ? "%.1f%s" : "%.0f%s", value, UNITS[exponent])
      end
    end
  end
end
