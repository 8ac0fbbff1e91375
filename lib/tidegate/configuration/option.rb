# frozen_string_literal: true

# One option: its names in all the places where it can be set, what it may be, and what it means.

module Tidegate
  class Configuration
    Option = Data.define(
      :name, :type, :default, :text, # text: what it means, with its unit, in one line
      :short, :long,                 # flags; long is derived from the name unless given, false for none
      :usual,                        # environment variables of other tools that count too, the strongest first
      :many,                         # may be given several times
      :in_file,                      # a method of the configuration file as well
      :secret,                       # neither a flag, which `ps` would show, nor printed in an error
      :native,                       # the native side takes it, by this name
      :code,                         # Ruby code: a block in the configuration file, and neither a flag nor a variable
      :stands_for,                   # for a shorthand: from its value, the options that it sets
      :shown                         # the default as the help shows it, where the value does not say it
    ) do
      def initialize(name:, long: "--#{name.to_s.tr("_", "-")}", **rest)
        super(name:, long: long || nil, **self.class::NOTHING_MORE, **rest)
      end

      # The flags, as in %w[-p --port]; none for what the command line takes without a flag.
      def flags = [short, long].compact

      # Our own environment variable for it; nil when it has none.
      def env = code ? nil : "TIDEGATE_#{name.upcase}"

      # All environment variables for it, the strongest first.
      def envs = [*env, *usual]

      # The name of its method in the configuration file; nil when it has none.
      def file = in_file ? name.to_s : nil

      def switch? = type.equal?(Types::SWITCH)

      # Whether its flag takes the next word, whatever that looks like.
      def takes_word? = !switch? && !type.placeholder.start_with?("[")

      # The default for people.
      def default_text
        return shown if shown

        case default
        when nil then "none"
        when Float then format("%g", default)
        when Array then default.join(", ")
        else default.to_s
        end
      end
    end

    # The defaults of an option's other attributes.
    Option::NOTHING_MORE = { short: nil, usual: [], many: false, in_file: true, secret: false, native: false, code: false, stands_for: nil,
                             shown: nil }.freeze
  end
end
