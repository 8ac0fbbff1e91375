# frozen_string_literal: true

# The page docs/options.md, made from the table of options.

module Tidegate
  class Configuration
    class Markdown
      INTRODUCTION = <<~TEXT
        # Options

        <!-- Made from lib/tidegate/configuration/table.rb by `rake docs`. Do not edit. -->

        Every option can be given as a flag of `tidegate`, as an environment variable, in a configuration file
        (`config/tidegate/ENVIRONMENT.rb` or `config/tidegate.rb`, else `config/puma.rb`, or the file that `-C` names), as a keyword of
        `Tidegate::Server.new`, and to `rackup` as `-O name=value`. A flag comes before an environment variable, that
        before the file, and the file before the default. An option that does not exist is an error.

        In a configuration file an option is a call of its name: `threads 0, 16`, `bind "unix:///run/app.sock"`,
        `drain_delay 5`. It is Ruby, evaluated once when the server starts.
      TEXT

      # +groups+ is Configuration::GROUPS.
      def initialize(groups)
        @groups = groups
      end

      # The whole page.
      def to_s
        [INTRODUCTION, *@groups.map { |heading, options| section(heading, options) }].join("\n")
      end

      private

      def section(heading, options)
        <<~TEXT
          ## #{heading}

          | option | flag | environment | default | meaning |
          |---|---|---|---|---|
          #{options.map { |option| row(option) }.join("\n")}
        TEXT
      end

      def row(option)
        cells = [name(option), flags(option), code(option.envs), option.default_text, option.text]
        "| #{cells.map { |cell| cell.gsub("|", "\\|") }.join(" | ")} |"
      end

      def name(option) = option.in_file ? "`#{option.name}`" : "#{option.name} (not in a file)"

      def flags(option)
        return option.type.equal?(Types::LOGGER) ? "an object" : "a block" if option.code
        return "none: others would see it" if option.secret
        return "the argument" if option.flags.empty?

        *rest, last = option.flags
        code([*rest, [last, option.type.placeholder].compact.join(" ")])
      end

      def code(words) = words.map { |word| "`#{word}`" }.join(", ")
    end
  end
end
