# frozen_string_literal: true

# What `tidegate --check` prints: where the server would listen, with how many workers, and what it would do on TERM, without
# loading the app.

module Tidegate
  class Check
    # +configuration+ is a resolved Configuration, +platform+ what runs the process.
    def initialize(configuration, platform)
      @configuration = configuration
      @surroundings = Surroundings.unknown.with(platform:)
    end

    # Raises a ConfigurationError where the server would not start because of its configuration.
    def to_s
      raise ConfigurationError, "there is no rackup file #{@configuration.rackup}" unless @configuration.app || File.file?(@configuration.rackup)

      [listening, *certificates, *processes, on_term, *clamped, *refused, "", *settings_table].join("\n")
    end

    # Whether the shutdown plan is what was asked for, and all addresses can be had, if not now.
    def fits? = clamped.empty? && obstacles.each_value.all?(&:in_use?)

    private

    def listening
      admin = @configuration.admin
      ["listens on #{@configuration.shown_addresses.join(", ")}", *("probes on #{admin}" if admin)].join("; ")
    end

    # What stands against listening, by the address.
    def obstacles
      @obstacles ||= [*@configuration.addresses, *@configuration.admin&.to_s].to_h { |address| [address, AddressTrial.obstacle(address)] }.compact
    end

    def refused
      hint = Occupant.hint(@configuration) if obstacles.any?
      obstacles.map { |address, obstacle| "cannot listen on #{Configuration::TlsQuery.shown(address)} now: #{obstacle.reason}#{hint}" }
    end

    # Every setting with its value and where that was set, those that were set first.
    def settings_table
      rows = Control::Settings.rows(@configuration).map { |row| row.values_at(:name, :value, :origin).map(&:to_s) }
      given, defaults = rows.reject { |_, value, _| value.empty? }.partition { |row| !row.last.empty? }
      width = [rows.map { |row| row[0].size }.max, rows.map { |row| row[1].size }.reject { |size| size > 40 }.max]
      (given + defaults).map { |name, value, origin| "#{name.ljust(width[0])}  #{value.ljust(width[1])}  #{origin.empty? ? "default" : origin}" }
    end

    # The certificates with the days that they have left. Raises where the server would not start because of them.
    def certificates = @configuration.tls? ? Native.certificates(settings) : []

    # The workers and where their number comes from; nothing without any.
    def processes
      return unless @configuration.cluster?

      count = @configuration.workers
      origin = @configuration.findings.first || "set by #{@configuration.origin(:workers)}"
      loaded = @configuration.preload_app ? "the app is loaded once, before they are forked" : "each loads the app"
      limits = { max_requests: "requests", max_memory: "bytes of memory" }.filter_map do |name, unit|
        "#{@configuration.public_send(name)} #{unit}" if @configuration.public_send(name)
      end
      text = "forks #{count == 1 ? "1 worker" : "#{count} workers"} (#{origin}); #{loaded}"
      limits.empty? ? text : "#{text}; a worker is replaced after #{limits.join(" or ")}"
    end

    def on_term
      text = "on TERM serves everything new for #{seconds(plan[:drain_delay])} (drain_delay#{", or until no more connections come" if quiet?}), " \
             "then finishes what is in flight for up to #{seconds(plan[:shutdown_timeout])} (shutdown_timeout)"
      plan[:budget] ? "#{text}; is gone #{seconds(plan[:budget])} after TERM, before the platform's KILL" : text
    end

    def clamped = plan[:clamped]

    def quiet? = @configuration.drain_until_quiet

    def plan = @plan ||= Native.plan(settings)

    def settings = NativeSettings.of(@configuration, @surroundings)

    def seconds(number) = format("%.1f s", number)
  end
end
