# frozen_string_literal: true

# Flags of Puma's command line that are no options here, so that a command which was written for Puma can be kept while its program
# is exchanged. Some set options that have other names; the others have nothing to change, are taken with their values, and each
# says once that it does nothing.
#
# A flag is not among these when the server would listen elsewhere without it.

module Tidegate
  module PumaFlags
    RESTART = "a restart runs the whole command again, in a new process image"

    # The requests after which `--fork-worker` without a number has the others forked from a worker.
    FORK_WORKER = 1000

    # +value+ is the word for it in the help.
    Flag = Data.define(:short, :long, :value, :reason) do
      def initialize(short: nil, value: nil, **) = super

      # As OptionParser takes it.
      def to_a = [*short, [long, *value].join(value&.start_with?("=") ? "" : " "), reason]

      # Whether it takes the next word.
      def takes? = !value.nil? && !value.start_with?("=")

      # The sentence for the log when it was given.
      def warning = "#{long} does nothing here: #{reason}"
    end

    # Without an effect.
    ALL = [
      Flag.new(long: "--prune-bundler", reason: RESTART),
      Flag.new(long: "--extra-runtime-dependencies", value: "GEMS", reason: RESTART)
    ].freeze

    # Names of Puma's for what is called otherwise here; `reason` is the meaning for the help.
    ALIASES = [
      Flag.new(short: "-f", long: "--fork-worker", value: "=[REQUESTS]", reason: "refork_after, #{FORK_WORKER} unless given"),
      Flag.new(long: "--control-url", value: "URL", reason: "admin; auto for a Unix socket in the directory for temporary files"),
      Flag.new(long: "--control-token", value: "TOKEN", reason: "admin_token, which others can see here; none for none"),
      Flag.new(long: "--plugin", value: "NAME", reason: "plugin of Puma's, as plugin in config/puma.rb; repeatable"),
      Flag.new(short: "-I", long: "--include", value: "PATH", reason: "directories for Ruby to load from, separated by colons")
    ].freeze

    # The long names.
    NAMES = [*ALL, *ALIASES].map(&:long).freeze

    # The names of those that take the next word.
    TAKERS = [*ALL, *ALIASES].select(&:takes?).flat_map { |flag| [*flag.short, flag.long] }.freeze

    # Adds them to an OptionParser, under headings of their own. Sets options in +layer+, and yields a sentence about each flag that
    # does nothing.
    def self.add_to(parser, layer, &warn)
      parser.separator("\nOf Puma, for options that are called otherwise here:")
      ALIASES.each { |flag| parser.on(*flag.to_a) { |given| set(flag, given, layer, &warn) } }
      parser.separator("\nOf Puma, taken and without effect:")
      ALL.each { |flag| parser.on(*flag.to_a) { warn.call(flag.warning) } }
    end

    def self.set(flag, given, layer, &warn)
      control = PumaControl.new(layer, flag.long)
      ignore = ->(reason) { warn.call("#{flag.long}: #{reason}") }
      case flag.long
      when "--fork-worker" then layer.set(Configuration::OPTIONS[:refork_after], given || FORK_WORKER, "-f/--fork-worker")
      when "--control-url" then control.url(given, &ignore)
      when "--control-token" then control.token(given, &ignore)
      when "--plugin" then plugin(given, layer, &warn)
      when "--include" then $LOAD_PATH.unshift(*given.split(":"))
      end
    end
    private_class_method :set

    def self.plugin(name, layer, &)
      dsl = PumaDSL.new("--plugin", layer)
      dsl.plugin(name)
      dsl.offer_plugins
      dsl.warnings.each(&)
    end
    private_class_method :plugin
  end
end
