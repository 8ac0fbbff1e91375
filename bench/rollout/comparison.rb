# frozen_string_literal: true

require "json"
require "optparse"
require_relative "run"

# Many runs as one table: each preset with Tidegate, with Puma, with Puma behind a preStop sleep, and with its negative
# control. A run that cannot be made leaves its reason in its cell, and the next one is made.
module Rollout
  class Comparison
    Column = Struct.new(:name, :server, :changes, keyword_init: true)

    # One run's result, or why there is none.
    Cell = Struct.new(:preset, :column, :result, :error, keyword_init: true) do
      def to_s
        return "not run: #{error}" unless result

        ["#{result.lost}/#{result.tally.total}", *violations].join(", ")
      end

      def violations
        bad = result.violations.group_by { |ending| ending.killed ? "killed" : ending.violation }
        bad.map { |what, all| "#{all.size} x #{what}" }.join(", ") unless bad.empty?
      end

      # Whether it lost where it should and did not where it should not; nil if nothing is known about that.
      def as_expected?
        wanted = { "tidegate" => preset.loses, "control" => preset.control_loses }[column.name]
        return if wanted.nil?

        result ? result.lost.positive? == wanted && result.violations.empty? : false
      end

      def to_h
        head = { preset: preset.name, column: column.name }
        return head.merge(error:) unless result

        head.merge(requests: result.tally.total, failed: result.lost, unserved: result.unserved, failures: result.losses,
                   turns: result.turns, seconds: result.seconds, violations: result.violations.map { |e| "#{e.pod}: #{e.violation}" })
      end
    end

    def self.parse(argv, &say)
      given = { presets: Presets.names, servers: %w[puma8], rolls: 20, json: false, controls: true, tls: false }
      OptionParser.new("usage: bin/rollout table [options]") do |o|
        o.on("--presets LIST", Array, "#{Presets.names.join(', ')} (all)") { |v| given[:presets] = v }
        o.on("--servers LIST", Array, "what stands beside Tidegate: puma, puma8, a command (puma8)") { |v| given[:servers] = v }
        o.on("--rolls N", Integer, "in each run (20)") { |v| given[:rolls] = v }
        o.on("--tls", "clients encrypt, which is for Tidegate alone") { given.merge!(tls: true, servers: []) }
        o.on("--no-controls", "without the negative controls") { given[:controls] = false }
        o.on("--json", "print the table as JSON") { given[:json] = true }
      end.parse(argv).then { |rest| raise OptionParser::InvalidArgument, rest.first unless rest.empty? }
      new(**given, &say)
    end

    # The block is told of each cell when it is done.
    def initialize(presets:, servers:, rolls:, json:, controls:, tls: false, &say)
      @presets = presets.map { |name| Presets.find(name) }
      @columns = columns(servers, controls)
      @rolls, @json, @tls, @say = rolls, json, tls, say
      @cells = []
    end

    def json? = @json

    def call
      @presets.product(@columns) do |preset, column|
        @cells << (cell = run(preset, column))
        @say&.call("#{preset.name}, #{label(preset, column)}: #{cell}#{" in #{cell.result.seconds} s" if cell.result}")
      end
    end

    def as_expected? = @cells.none? { |cell| cell.as_expected? == false }

    def to_s
      rows = @presets.map do |preset|
        cells = @cells.select { |cell| cell.preset == preset }
        control = " (#{preset.control_about})"
        ["#{preset.name}: #{preset.about}", *cells.map { |cell| "#{cell}#{control if cell.column.name == 'control'}" }]
      end
      head = ["failed/requests, #{@rolls} rolls each#{", over TLS" if @tls}", *@columns.map(&:name)]
      [head, head.map { "---" }, *rows].map { |row| "| #{row.join(' | ')} |" }.join("\n") << "\n"
    end

    def to_json(*) = JSON.pretty_generate(rolls: @rolls, as_expected: as_expected?, cells: @cells.map(&:to_h))

    private

    def columns(servers, controls)
      others = servers.flat_map do |server|
        [Column.new(name: server, server:, changes: {}), Column.new(name: "#{server} + preStop", server:, changes: { prestop: true })]
      end
      [Column.new(name: "tidegate", server: "tidegate", changes: {}), *others,
       *(controls ? [Column.new(name: "control", server: "tidegate", changes: {})] : [])]
    end

    def label(preset, column) = column.name == "control" ? "control (#{preset.control_about})" : column.name

    def run(preset, column)
      settings = settings_of(preset, column)
      Cell.new(preset:, column:, result: Run.new(settings).call)
    rescue StandardError => error # whatever it is, the other cells are still wanted
      Cell.new(preset:, column:, error: "#{error.message.lines.first&.strip} (#{error.class})")
    end

    # The preStop sleep is a second longer than Tidegate's delay.
    def settings_of(preset, column)
      changes = column.name == "control" ? preset.control : {}
      changes = { prestop: Settings.with(preset: preset.name).drain_delay + 1 } if column.changes[:prestop]
      Settings.with(preset: preset.name, server: column.server, rolls: @rolls, tls: @tls, requests: 1, **changes).validate.freeze
    end
  end
end
