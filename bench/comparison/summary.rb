# frozen_string_literal: true

require_relative "limit"

# A Result as a table in the terminal: the medians, the ratio to the server that each number is compared with, and the distance to what is
# possible. Below it, Tidegate's defaults beside other numbers of threads.
module Comparison
  class Summary
    # The number as Turn#value knows it, its heading, digits after the point.
    OF_CLIENT = { "rate" => ["req/s", 0], "p50" => ["p50 ms", 2], "p99" => ["p99 ms", 2], "p999" => ["p99.9 ms", 2] }.freeze
    OF_SERVER = { "cpu" => ["CPU us/req", 1], "switches" => ["ctx/req", 2], "voluntary" => ["waits/req", 2], "pss" => ["PSS MiB", 1],
                  "peak" => ["peak MiB", 1] }.freeze
    IDLE = { "idle_kib" => ["KiB/idle", 2], "idle_closed" => ["closed", 0] }.freeze
    WITHOUT = { "p99_without" => ["p99 without", 2] }.freeze
    SETTLED = { "fresh" => ["fresh MiB", 1], "settled" => ["settled MiB", 1] }.freeze
    RATIOS = { "rate" => "rate/", "cpu" => "CPU/", "p99" => "p99/", "pss" => "PSS/" }.freeze
    # Tidegate with its defaults, and with a number of threads of its own.
    DEFAULT = "tidegate"
    OTHER_COUNT = /\Atidegate:\d/
    # What of the two is put side by side.
    COMPARED = { "rate" => "rate", "cpu" => "CPU", "p99" => "p99", "switches" => "context switches", "pss" => "PSS" }.freeze

    def initialize(result)
      @result = result
    end

    def to_s = [title, *notes, "", table([head, *@result.servers.flat_map { |server| rows(server) }]), *defaults].join("\n")

    private

    def title = "#{@result.workload.name}: #{@result.workload.load}; #{@result.how}; median of #{@result.turns.map(&:round).max} rounds"

    def notes = [*found, *alone, *@result.missing.map { |name, why| "left out: #{name}: #{why}" }]

    def found
      @result.found.flat_map do |server, one|
        tried = one.tried.map { |count, numbers| "#{count}: #{numbers.map { |name, value| "#{name} #{format('%.4g', value)}" }.join(', ')}" }
        ["best thread counts of #{server}: #{one}", "tried: #{tried.join('; ')}"]
      end
    end

    # What the app takes by itself.
    def alone
      alone = @result.alone or return []
      each = alone.cpu.map { |name, cpu| "#{"#{name} " if alone.cpu.size > 1}#{format('%.1f', cpu)} us" }
      [format("the app alone: %<each>s of CPU a call, PSS %<pss>.1f MiB", each: each.join(", "), pss: alone.pss)]
    end

    def head
      ["", *OF_CLIENT.values.map(&:first), *of_server.values.map(&:first), "sys/req", "errors",
       *RATIOS.map { |name, word| word + heading_of(name) }, *limits.map { |limit| "CPU/#{limit}" }, *("CPU/possible" if possible?)]
    end

    # Those that took part, so that there is a distance to them.
    def limits = LIMITS & @result.servers

    def possible? = @result.servers.any? { |server| @result.to_possible(server) }

    # The server that the ratios are to; the kinds of client may differ in it, and then each row says so.
    def heading_of(name)
      bases = @result.clients.map { |client| @result.baseline(of(name, client)) }.uniq
      bases.size == 1 ? bases.first.to_s : "best"
    end

    def of_server
      workload = @result.workload
      [(IDLE if workload.idle), (WITHOUT if workload.idle || workload.without?), (SETTLED if workload.settle)].compact.reduce(OF_SERVER, :merge)
    end

    def rows(server)
      @result.clients.each_with_index.map do |client, index|
        name = @result.clients.size > 1 ? "#{server} #{client}" : server
        shared = [*of_server.map { |number, (_, digits)| show(@result.number(server, number), digits) }, show(@result.syscalls(server), 1),
                  @result.errors(server).to_s]
        shared.map! { "" } if index.positive?
        [name, *OF_CLIENT.map { |number, (_, digits)| show(@result.number(server, "#{client}.#{number}"), digits) }, *shared,
         *ratios(server, client, index), *(index.positive? ? distances(server).map { "" } : distances(server))]
      end
    end

    def ratios(server, client, index)
      RATIOS.keys.map { |number| index.positive? && !of(number, client).include?(".") ? "" : show(@result.ratio(server, of(number, client)), 2) }
    end

    def distances(server)
      possible = LIMITS.include?(server) ? nil : @result.to_possible(server)
      [*limits.map { |limit| show(@result.ratio(server, "cpu", to: limit), 2) }, *(show(possible, 2) if possible?)]
    end

    # Tidegate as it comes, beside the same with a number of threads of its own.
    def defaults
      return [] unless @result.servers.include?(DEFAULT)

      @result.servers.grep(OTHER_COUNT).map do |other|
        ratios = COMPARED.flat_map { |number, word| compared(number).map { |full| "#{name_of(full, word)} #{show(@result.ratio(DEFAULT, full, to: other), 2)}" } }
        "#{DEFAULT} : #{other}: #{ratios.join(', ')}"
      end
    end

    # That number, of each kind of client where it is one of theirs.
    def compared(number) = OF_CLIENT.key?(number) ? @result.clients.map { |client| "#{client}.#{number}" } : [number]

    def name_of(full, word) = full.include?(".") && @result.clients.size > 1 ? "#{full.split('.').first} #{word}" : word

    def of(number, client) = OF_CLIENT.key?(number) ? "#{client}.#{number}" : number

    def show(number, digits)
      return "-" unless number

      format("%.#{digits}f", number.respond_to?(:median) ? number.median : number)
    end

    def table(rows)
      widths = rows.transpose.map { |column| column.map(&:length).max }
      rows.map { |first, *rest| [first.ljust(widths.first), *rest.zip(widths.drop(1)).map { |c, w| c.rjust(w) }].join("  ").rstrip }.join("\n")
    end
  end
end
