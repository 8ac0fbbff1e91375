# frozen_string_literal: true

module Dashboard
  # What is wrong with the answers of Prometheus to the dashboard and the alerts, after a Day on which each of them had a reason.
  class Verdict
    # Which numbers a panel may show, by its unit. Seconds: the day is not longer.
    PLAUSIBLE = { "percentunit" => 0..1, "s" => 0..300, "reqps" => 0..5000, "bytes" => 0..(8 * 1024**3), "short" => 0..1e8 }.freeze

    # What the day does not bring about: a client that confirms nothing until the end of a drain that is then scraped once more.
    NEVER = ["bytes not confirmed"].freeze
    QUIET = %w[TidegateUnackedBytes TidegateDescriptors].freeze

    # The dashboard's requests are those of the clients, but for what a pod that was killed had counted since it was scraped, and what
    # a rate leaves out at the ends of a series.
    AGREED = 0.15

    attr_reader :faults, :lines

    # Values of all panels, by target: for the picture.
    attr_reader :series

    def initialize(prometheus, panels, from:, to:)
      @prometheus, @panels, @from, @to = prometheus, panels, from, to
      @faults, @lines, @series = [], [], {}
    end

    # +statuses+: what the clients have seen.
    def call(statuses)
      @panels.variables.each { |name, (series, label)| variable(name, series, label) }
      @panels.all.each { |panel| panel.targets.each { |target| look_at(panel, target) } }
      @panels.annotations.each { |target| look_at(nil, target) }
      compare(statuses)
      @prometheus.alerts.each { |alert| alarm(alert) }
      self
    end

    private

    def variable(name, series, label)
      values = @prometheus.ask("label/#{label}/values", "match[]": series, start: @from, end: @to)
      fault("the variable #{name}", "no value") if values.empty?
    rescue Prometheus::Refused => error
      fault("the variable #{name}", error.message)
    end

    def look_at(panel, target)
      what = panel ? "#{panel.title}: #{target.legend}" : "the annotation #{target.legend}"
      found = @series[target] = range(target.expression, step: target.step)
      values = found.flat_map { |each| each["values"].map(&:last) }.reject(&:nan?)
      return fault(what, "no value") if values.empty?

      judge(what, panel&.unit, values)
      left = target.labels - found.flat_map { |each| each["metric"].keys }
      fault(what, "the legend names #{left.join(", ")}, which no series has") if left.any?
    rescue Prometheus::Refused => error
      fault(what, error.message)
    end

    def judge(what, unit, values)
      least, most = values.minmax
      @lines << format("%-48s %10.4g to %10.4g", what, least, most)
      plausible = PLAUSIBLE.fetch(unit || "short")
      fault(what, "#{least} to #{most}") unless plausible.cover?(least) && plausible.cover?(most)
      fault(what, "always 0, on a day that had a reason for more") if most.zero? && NEVER.none? { |name| what.end_with?(name) }
    end

    # The area under the panel of the requests is their number.
    def compare(statuses)
      target, found = @series.find { |each, _| each.legend == "{{status}}" }
      requests = found&.sum { |each| each["values"].sum { |_, rate| rate * target.step } }
      seen = statuses.values.sum
      @lines << format("%-48s %10d, and %d by the dashboard", "requests of the clients", seen, requests.to_i)
      fault("Requests", "#{requests.to_i}, and the clients had #{seen}") unless requests && ((requests - seen).abs < AGREED * seen)
    end

    def alarm(alert)
      name = alert.fetch("name")
      return fault(name, "#{alert["health"]}: #{alert["lastError"]}") unless alert["health"] == "ok"

      # An alert is silent where its series are not there at all.
      watched = range(alert.fetch("query")[/\A(.*?)\s[<>]\s[\d.* ]+\z/m, 1], step: 1)
      fault(name, "watches nothing") if watched.empty?
      fired = range(alert.fetch("query"), step: 1).any?
      @lines << format("%-48s %10s", name, fired ? "fires" : "silent")
      fault(name, "silent, on a day that had a reason for it") unless fired || QUIET.include?(name)
    rescue Prometheus::Refused => error
      fault(name, error.message)
    end

    def range(expression, step:) = @prometheus.range(expression, from: @from, to: @to, step:)

    def fault(what, words) = @faults << "#{what}: #{words}"
  end
end
