# frozen_string_literal: true

# A page of metrics in Prometheus' text format, read by its grammar: whatever does not follow it raises.

class Exposition
  class Malformed < StandardError; end

  NAME = /[a-zA-Z_:][a-zA-Z0-9_:]*/
  HELP = /\A# HELP (?<name>#{NAME}) (?<text>(?:[^\\\n]|\\\\|\\n)+)\z/
  TYPE = /\A# TYPE (?<name>#{NAME}) (?<type>counter|gauge|histogram)\z/
  LABEL = /(?<label>[a-zA-Z_][a-zA-Z0-9_]*)="(?<value>(?:[^"\\\n]|\\\\|\\"|\\n)*)"/
  SAMPLE = /\A(?<name>#{NAME})(?:\{(?<labels>#{LABEL}(?:,#{LABEL})*)\})? (?<number>\+Inf|-Inf|NaN|[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\z/
  SUFFIXES = { "histogram" => ["_bucket", "_sum", "_count"] }.freeze

  # Family name => its type, and [name, {label => value}] => number.
  attr_reader :types, :samples

  def initialize(text)
    raise Malformed, "the last line has no end" unless text.end_with?("\n")

    @types = {}
    @helps = {}
    @samples = {}
    text.each_line(chomp: true) { |line| read(line) }
  end

  # The number of one series.
  def [](name, **labels) = @samples.fetch([name, labels.transform_keys(&:to_s)])

  # Upper bound => cumulative count.
  def buckets(name)
    @samples.select { |(sample, _), _| sample == "#{name}_bucket" }
            .to_h { |(_, labels), count| [labels["le"] == "+Inf" ? Float::INFINITY : Float(labels["le"]), count] }
  end

  private

  def read(line)
    case line
    when HELP then @helps[$~[:name]] = $~[:text]
    when TYPE then type($~[:name], $~[:type])
    when SAMPLE then sample($~[:name], $~[:labels], $~[:number])
    else raise Malformed, line
    end
  end

  def type(name, type)
    raise Malformed, "#{name} has a second type" if @types.key?(name)
    raise Malformed, "#{name} has no help before its type" unless @helps.key?(name)

    @types[name] = type
    @family = name
  end

  def sample(name, labels, number)
    names = SUFFIXES.fetch(@types[@family], [""]).map { |suffix| "#{@family}#{suffix}" }
    raise Malformed, "#{name} stands with #{@family}" unless names.include?(name)

    series = [name, labels.to_s.scan(LABEL).to_h]
    raise Malformed, "#{series} is there twice" if @samples.key?(series)

    @samples[series] = { "+Inf" => Float::INFINITY, "-Inf" => -Float::INFINITY }.fetch(number) { Float(number) }
  end
end
