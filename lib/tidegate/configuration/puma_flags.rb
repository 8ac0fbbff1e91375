# frozen_string_literal: true

# Flags of Puma's command line that have nothing to change here, so that a command which was written for Puma can be
# kept while its program is exchanged: they are taken with their values, and each says once that it does nothing.
#
# A flag is not among them when the server would listen elsewhere without it.

module Tidegate
  module PumaFlags
    CLUSTER = "one process serves; cluster mode is not there yet"
    RESTART = "there is no restart in place yet"
    CONTROL = "there is no control server yet; --admin answers the probes"
    OUTPUT = "the output goes where the process was started; redirect it there"

    # +value+ is the word for it in the help. Nothing is said of a value among +already+: what it asks for is so anyway.
    Flag = Data.define(:short, :long, :value, :reason, :already) do
      def initialize(short: nil, value: nil, already: [], **) = super

      # As OptionParser takes it.
      def to_a = [*short, [long, *value].join(value&.start_with?("=") ? "" : " "), reason]

      # Whether it takes the next word.
      def takes? = !value.nil? && !value.start_with?("=")

      # The sentence for the log when it was given +value+, or nil.
      def warning(given)
        "#{long} does nothing here: #{reason}" unless already.include?(given)
      end
    end

    ALL = [
      Flag.new(short: "-w", long: "--workers", value: "COUNT", reason: CLUSTER, already: %w[0 1]),
      Flag.new(short: "-f", long: "--fork-worker", value: "=[REQUESTS]", reason: CLUSTER),
      Flag.new(long: "--preload", reason: "it is for the workers of a cluster, which is not there yet", already: [true]),
      Flag.new(short: "-S", long: "--state", value: "PATH", reason: CONTROL),
      Flag.new(long: "--control-url", value: "URL", reason: CONTROL),
      Flag.new(long: "--control-token", value: "TOKEN", reason: CONTROL),
      Flag.new(short: "-R", long: "--restart-cmd", value: "CMD", reason: RESTART),
      Flag.new(long: "--prune-bundler", reason: RESTART),
      Flag.new(long: "--extra-runtime-dependencies", value: "GEMS", reason: RESTART),
      Flag.new(long: "--idle-timeout", value: "SECONDS", reason: "the server does not end by itself"),
      Flag.new(long: "--plugin", value: "NAME", reason: "Puma's plugins are not supported yet"),
      Flag.new(long: "--redirect-stdout", value: "FILE", reason: OUTPUT),
      Flag.new(long: "--redirect-stderr", value: "FILE", reason: OUTPUT),
      Flag.new(long: "--redirect-append", reason: OUTPUT),
      Flag.new(long: "--no-redirect-append", reason: OUTPUT)
    ].freeze

    # The long names.
    NAMES = ALL.map(&:long).freeze

    # The names of those that take the next word.
    TAKERS = ALL.select(&:takes?).flat_map { |flag| [*flag.short, flag.long] }.freeze

    # Adds them to an OptionParser, under a heading of their own. Yields the sentence about each that is given.
    def self.add_to(parser)
      parser.separator("\nOf Puma, taken and without effect:")
      ALL.each do |flag|
        parser.on(*flag.to_a) { |given| flag.warning(given)&.then { |warning| yield warning } }
      end
    end
  end
end
