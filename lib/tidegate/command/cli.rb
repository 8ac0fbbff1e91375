# frozen_string_literal: true

# The command line of `tidegate`. The flags and the help are made from the table of options.

require "optparse"

module Tidegate
  # The command `tidegate`: {CLI.run} reads its arguments, resolves the configuration and runs the {Server}.
  class CLI
    # What the help begins with.
    BANNER = <<~TEXT
      Usage: tidegate [options] [config.ru]

      Serves a Rack app. On TERM it goes on serving for the drain delay, finishes what is in flight and exits 0.
      `tidegate ctl` steers a running server and `tidegate top` watches it: see their --help.
      Any option can also be set as an environment variable (TIDEGATE_DRAIN_DELAY=5) or in config/tidegate.rb
      (drain_delay 5); a flag comes first, then the environment, then the file.
    TEXT

    # The other commands, by the first word. A rackup file of such a name is served as ./ctl.
    COMMANDS = { "ctl" => -> { Control::CLI }, "top" => -> { Control::Top } }.freeze

    # Columns for the flags in the help.
    WIDTH = 37

    # What may follow an address.
    BIND_OPTIONS = [
      "an address may end in options, as in unix:///run/app.sock?umask=0117&backlog=256:",
      "  backlog=N                connections that may wait to be accepted (4096)",
      "  umask=0117, mode=0660    unix: which users may connect; all unless set",
      "  proxy_protocol=true      a PROXY header comes first, from trusted_proxies; also v1 or v2",
      "  cert=FILE&key=FILE       ssl: the certificate; all options of TLS are in docs/tls.md"
    ].freeze

    # Runs the command.
    # @param argv [Array<String>]
    # @return [Integer] the exit status
    def self.run(argv, env: ENV, out: $stdout, err: $stderr)
      other = COMMANDS[argv.first]
      return other.call.run(argv.drop(1), env:, out:, err:) if other

      new(env:, out:, err:).run(argv)
    end

    def initialize(env: ENV, out: $stdout, err: $stderr)
      @env = env
      @out = out
      @log = Log.new(out:, err:)
      @flags = Configuration::Layer.new
      @warnings = []
    end

    # Does what +argv+ asks for, and returns the exit status.
    def run(argv)
      answer = catch(:answer) do
        flags = parse(argv)
        @warnings.uniq.each { |warning| @log.error(warning) }
        return @check ? check(flags) : launch(flags)
      end
      @out.puts answer
      0
    rescue ConfigurationError => error
      @log.error(error.message)
      1
    end

    # Reads +argv+ into a Layer.
    def parse(argv)
      check_names(argv)
      rackup, *rest = parser.parse(argv)
      raise ConfigurationError, "one rackup file can be served, and #{rackup} is followed by #{rest.first}" if rest.any?

      @flags.set(Configuration::OPTIONS[:rackup], rackup, "the command line") if rackup
      @flags
    rescue OptionParser::MissingArgument => error
      raise ConfigurationError, "#{error.args.first} needs a value"
    rescue OptionParser::ParseError => error
      raise unknown(error.args.first)
    end

    private

    # Prints the plan of the shutdown. Returns 0, or 1 if the plan was cut to fit.
    def check(flags)
      configuration = Configuration.resolve(flags:, env: @env)
      configuration.warnings.each { |warning| @log.error(warning) }
      check = Check.new(configuration, Platform.of(@env))
      @out.puts check.to_s
      check.fits? ? 0 : 1
    end

    def launch(flags) = Launcher.new(flags:, env: @env, log: @log).run

    def parser
      @parser ||= OptionParser.new(BANNER, WIDTH) do |parser|
        Configuration::GROUPS.each do |heading, options|
          flagged = options.reject { |option| option.code || option.secret }
          next add_blocks(parser, heading, options) if flagged.empty?

          parser.separator("\n#{heading}:")
          flagged.each { |option| add(parser, option) }
        end
        add_answers(parser)
        PumaFlags.add_to(parser, @flags) { |warning| @warnings << warning }
      end
    end

    # What is Ruby code has no flag.
    def add_blocks(parser, heading, options)
      parser.separator("\n#{heading}, as blocks in the configuration file:")
      options.each { |option| parser.separator("    #{option.name.to_s.ljust(WIDTH)} #{option.text}") }
    end

    def add(parser, option)
      return add_argument(parser, option) if option.flags.empty?

      long = option.switch? ? option.long.sub("--", "--[no-]") : "#{option.long} #{option.type.placeholder}"
      origin = option.flags.join("/")
      parser.on(*option.short, long, description(option)) { |value| @flags.set(option, value, origin) }
      add_no_config(parser, option) if option.name == :config
      BIND_OPTIONS.each { |line| parser.separator("    #{" " * WIDTH} #{line}") } if option.name == :bind
    end

    # The rackup file has no flag, but a line in the help.
    def add_argument(parser, option)
      parser.separator("    #{option.default.ljust(WIDTH)} #{option.text}")
    end

    # As in Puma, the same as `--config -`.
    def add_no_config(parser, option)
      parser.on("--no-config", "load no configuration file") do
        @flags.set(option, Configuration::Files::NONE, "--no-config")
      end
    end

    def add_answers(parser)
      parser.separator("\nHelp:")
      parser.on("--check", "print what would be done on TERM, and whether it fits the platform's time") { @check = true }
      parser.on("-V", "--version", "print the version") { throw :answer, "tidegate #{VERSION} (Ruby #{RUBY_VERSION})" }
      parser.on("-h", "--help", "print this") { throw :answer, parser.help }
    end

    # The meaning, and the default unless it is none, false or true.
    def description(option)
      default = option.default_text
      %w[none false true].include?(default) ? option.text : "#{option.text} (default: #{default})"
    end

    # Refuses abbreviations. OptionParser takes any beginning of a flag for the flag, so that a flag which is added later would
    # change the meaning of an abbreviation in a user's script.
    def check_names(argv)
      known = long_names
      value_next = false
      argv.take_while { |word| word != "--" }.each do |word|
        name = word[/\A--[^=]+/]
        raise unknown(name) if name && !value_next && !known.include?(name)

        value_next = takers.include?(word)
      end
    end

    def long_names
      switches = options.select(&:switch?).map { |option| option.long.sub("--", "--no-") }
      options.map(&:long) + switches + %w[--no-config --check --version --help] + PumaFlags::NAMES
    end

    # The flags that take the next word as their value, whatever it looks like.
    def takers = options.select(&:takes_word?).flat_map(&:flags) + PumaFlags::TAKERS

    def options = Configuration::OPTIONS.each_value.select(&:long)

    def unknown(flag)
      ConfigurationError.new("unknown option #{flag}: #{Nearest.hint(flag, long_names)}")
    end
  end
end
