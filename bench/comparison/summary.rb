# frozen_string_literal: true

# A Result as a table: for each server and kind of client the medians, and the ratios to the server that it is compared with.
module Comparison
  class Summary
    # Of a kind of client, and of the whole server: the heading and the digits after the point.
    OF_CLIENT = { "rate" => ["req/s", 0], "p50" => ["p50 ms", 2], "p99" => ["p99 ms", 2], "p999" => ["p99.9 ms", 2] }.freeze
    OF_SERVER = { "cpu" => ["CPU us/req", 1], "switches" => ["ctx/req", 2], "pss" => ["PSS MiB", 1], "peak" => ["peak MiB", 1] }.freeze
    IDLE = { "idle_kib" => ["KiB/idle", 2], "p99_without" => ["p99 without", 2], "idle_closed" => ["closed", 0] }.freeze
    RATIOS = { "rate" => "rate/", "cpu" => "CPU/", "p99" => "p99/", "pss" => "PSS/" }.freeze

    def initialize(result)
      @result = result
    end

    def to_s = [title, *notes, "", table([head, *@result.servers.flat_map { |server| rows(server) }])].join("\n")

    private

    def title = "#{@result.workload.name}: #{@result.workload.load}; #{@result.how}; median of #{@result.turns.map(&:round).max} rounds"

    def notes
      found = @result.found
      tried = found&.tried&.map { |count, numbers| "#{count}: #{numbers.map { |name, value| "#{name} #{format('%.4g', value)}" }.join(', ')}" }
      [(found && "best thread counts: #{found}"), (tried && "tried: #{tried.join('; ')}"),
       *@result.missing.map { |name, why| "left out: #{name}: #{why}" }].compact
    end

    def head
      ["", *OF_CLIENT.values.map(&:first), *of_server.values.map(&:first), "sys/req", "errors",
       *RATIOS.map { |name, word| word + heading_of(name) }]
    end

    # The server that the ratios are to; the kinds of client may differ in it, and then each row says so.
    def heading_of(name)
      bases = @result.clients.map { |client| @result.baseline(of(name, client)) }.uniq
      bases.size == 1 ? bases.first.to_s : "best"
    end

    def of_server = @result.workload.idle ? OF_SERVER.merge(IDLE) : OF_SERVER

    def rows(server)
      @result.clients.each_with_index.map do |client, index|
        name = @result.clients.size > 1 ? "#{server} #{client}" : server
        shared = [*of_server.map { |number, (_, digits)| show(@result.number(server, number), digits) }, show(@result.syscalls(server), 1),
                  @result.errors(server).to_s]
        shared.map! { "" } if index.positive?
        [name, *OF_CLIENT.map { |number, (_, digits)| show(@result.number(server, "#{client}.#{number}"), digits) }, *shared,
         *RATIOS.keys.map { |number| index.positive? && !of(number, client).include?(".") ? "" : show(@result.ratio(server, of(number, client)), 2) }]
      end
    end

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
