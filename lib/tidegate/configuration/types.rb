# frozen_string_literal: true

# What kinds of value there are: how each is read from text or from Ruby, and how a valid one is described.

require_relative "address"

module Tidegate
  class Configuration
    module Types
      # A kind of value. +placeholder+ stands for it in the help, +expected+ ends the sentence "it must be".
      Type = Data.define(:placeholder, :expected, :reader) do
        # The value that +given+ stands for. Yields the reason when it stands for none.
        def read(given)
          reason = catch(:invalid) { return reader.call(given) }
          yield reason || "it must be #{expected}"
        end
      end

      # More than the memory of any machine has room for; it bounds a slip of the finger.
      MOST_WORKERS = 1024

      module_function

      def type(placeholder, expected, &reader) = Type.new(placeholder, expected, reader)

      def integer(given)
        given.is_a?(String) ? Integer(given, 10, exception: false) : (given if given.is_a?(Integer))
      end

      def number(given)
        number = given.is_a?(String) ? Float(given, exception: false) : (given.to_f if given.is_a?(Numeric))
        number if number&.finite?
      end

      def text(given)
        text = -given.to_s if [String, Symbol].any? { |kind| given.is_a?(kind) } || given.respond_to?(:to_path)
        text unless text.nil? || text.empty?
      end

      def none?(given) = [nil, false, "none", :none].include?(given)

      def auto?(given) = ["auto", :auto].include?(given)

      # +value+ when it is there and the block, if any, agrees.
      def valid(value) = !value.nil? && (!block_given? || yield(value)) ? value : throw(:invalid)

      SIZES = { "" => 1, "k" => 1024, "m" => 1024**2, "g" => 1024**3 }.freeze

      def bytes(given)
        return valid(given) { given >= 0 } if given.is_a?(Integer)

        match = /\A(?<count>\d+) ?(?<unit>[kmg]?)(?:i?b)?\z/i.match(given.to_s) or throw :invalid
        match[:count].to_i * SIZES.fetch(match[:unit].downcase)
      end

      def threads(given)
        parts = given.is_a?(Array) ? given : given.to_s.split(":", -1)
        throw :invalid unless parts.size.between?(1, 2)
        valid([integer(parts.first), integer(parts.last)]) { |min, max| min && max && min >= 0 && max >= 1 && min <= max }
      end

      SWITCHES = { true => true, false => false }.merge(
        %w[1 true yes on].to_h { |word| [word, true] }, %w[0 false no off].to_h { |word| [word, false] }
      ).freeze

      SWITCH = type(nil, "true or false") { |given| valid(SWITCHES[given]) }
      TEXT = type("NAME", "a word") { |given| valid(text(given)) }
      PROXY = type("VERSION", "true, v1, v2 or false") do |given|
        valid({ "true" => "true", "v1" => "v1", "v2" => "v2", "false" => false }[given.to_s])
      end
      SCHEME = type("SCHEME", "http or https") { |given| valid(text(given)) { |it| %w[http https].include?(it) } }
      HTTP_METHOD = type("METHOD", "a method of HTTP, such as GET") { |given| valid(text(given)) { |it| it.match?(/\A[!#$%&'*+.^`|~\w-]+\z/) } }
      PATH = type("PATH", "a path") { |given| valid(text(given)) }

      PATH_OR_AUTO = type("PATH", "a path, auto or none") { |given| none?(given) ? nil : (auto?(given) ? :auto : valid(text(given))) }
      REQUEST_PATH = type("/PATH", "a path of the app, such as /up") { |given| valid(text(given)) { |it| it.start_with?("/") } }

      UNDERSCORES = type("WHICH", "true, false or auto") { |given| auto?(given) ? :auto : valid(SWITCHES[given]) }
      # Without a value it is on, as a flag of Puma's.
      ACTIVATED = type("[only]", "true, false or only") do |given|
        given.nil? || (["only", :only].include?(given) ? :only : valid(SWITCHES[given]))
      end
      WHEN_FORCED = type("WHEN", "true, false or on_force") do |given|
        given = given[:on_force] ? :on_force : false if given.is_a?(Hash) && given.keys == [:on_force]
        ["on_force", :on_force].include?(given) ? :on_force : valid(SWITCHES[given])
      end
      FORMAT = type("FORMAT", "combined or json") { |given| valid({ "combined" => :combined, "json" => :json }[given.to_s]) }

      # A file's name, an Array and a number have << too, and would swallow each line.
      NO_LOGGERS = [String, Array, Integer].freeze
      LOGGER = type("LOGGER", "an object with the method write or <<, and no String") do |given|
        valid(given) { |it| NO_LOGGERS.none? { |kind| it.is_a?(kind) } && %i[write <<].any? { |name| it.respond_to?(name) } }
      end

      CODE = type("BLOCK", "a block, or an object with the method call") { |given| valid(given) { |it| it.respond_to?(:call) } }

      COUNT = type("COUNT", "a whole number of at least 1") { |given| valid(integer(given)) { |n| n >= 1 } }
      COUNT_OR_AUTO = type("COUNT", "a whole number of at least 1, or auto") do |given|
        auto?(given) ? :auto : valid(integer(given)) { |n| n >= 1 }
      end
      COUNT_OR_ZERO = type("COUNT", "a whole number of at least 0") { |given| valid(integer(given)) { |n| n >= 0 } }
      COUNT_OR_NONE = type("COUNT", "a whole number of at least 1, or none") do |given|
        none?(given) ? nil : valid(integer(given)) { |n| n >= 1 }
      end
      WORKERS = type("COUNT", "a whole number from 0 to #{MOST_WORKERS}, or auto") do |given|
        auto?(given) ? :auto : valid(integer(given)) { |n| n.between?(0, MOST_WORKERS) }
      end
      CULLING = type("AGE", "youngest or oldest") { |given| valid({ "youngest" => :youngest, "oldest" => :oldest }[given.to_s]) }
      THREADS = type("MIN:MAX", "MIN:MAX or one number for both, MAX at least 1 and MIN not above it") do |given|
        threads(given)
      end
      BYTES = type("BYTES", "a whole number of bytes, or one with K, M or G") { |given| bytes(given) }
      BYTES_OR_NONE = type("BYTES", "a whole number of bytes, or one with K, M or G, or none") do |given|
        none?(given) ? nil : bytes(given)
      end
      BYTES_AUTO_OR_NONE = type("BYTES", "a whole number of bytes, or one with K, M or G, or auto, or none") do |given|
        next :auto if auto?(given)

        none?(given) ? nil : bytes(given)
      end

      MEMORY = type("BYTES", "a whole number of bytes above 0, or one with K, M or G, or none") do |given|
        none?(given) ? nil : valid(bytes(given), &:positive?)
      end
      # Text is octal, as chmod takes it.
      MODE = type("MODE", "the mode of a file, such as 0640") do |given|
        mode = given.is_a?(String) ? given[/\A0?o?([0-7]{3})\z/, 1]&.oct : given
        valid(mode) { |it| it.is_a?(Integer) && it.between?(0, 0o777) }
      end

      SECONDS = type("SECONDS", "a number of seconds, at least 0") { |given| valid(number(given)) { |n| n >= 0 } }
      SECONDS_OR_AUTO = type("SECONDS", "a number of seconds, at least 0, or auto") do |given|
        auto?(given) ? :auto : valid(number(given)) { |n| n >= 0 }
      end
      INTERVAL = type("SECONDS", "a number of seconds above 0") { |given| valid(number(given), &:positive?) }
      TIMEOUT = type("SECONDS", "a number of seconds above 0, or none for no limit") do |given|
        none?(given) ? nil : valid(number(given), &:positive?)
      end

      TIMEOUT_OR_OFF = type("SECONDS", "a number of seconds, 0 or none to switch it off") do |given|
        none?(given) || number(given)&.zero? ? nil : valid(number(given), &:positive?)
      end

      PORT = type("PORT", "a whole number from 0 to 65535") { |given| valid(integer(given)) { |n| n.between?(0, 65_535) } }
      ADDRESS = type("URI", "tcp://HOST:PORT, ssl://HOST:PORT or unix://PATH") { |given| Address.parse(valid(text(given))) }
      ADDRESS_OR_NONE = type("URI", "tcp://HOST:PORT, unix://PATH, or none") do |given|
        none?(given) ? nil : Address.parse(valid(text(given))).tap(&:refuse_tls)
      end

      HOST = type("NAME", "a host name, without a port") { |given| valid(text(given)) { |it| it.match?(/\A[\w-]+(?:\.[\w-]+)*\z/) } }
      NETWORK = type("NETWORK", "an IP address, a network such as 10.0.0.0/8, loopback, private or unix") do |given|
        valid(text(given)) { |it| it.match?(%r{\A(?:loopback|private|unix|[\h.:]*[.:][\h.:]*(?:/\d{1,3})?)\z}) }
      end
      HEADER = type("NAME", "the name of a header") { |given| valid(text(given)) { |it| it.match?(/\A[\w-]+\z/) } }
      # A secret that fits into a header and is too long to guess.
      SECRET = type("TOKEN", "16 to 4096 letters, digits and signs, without spaces") do |given|
        none?(given) ? nil : valid(text(given)) { |it| it.match?(/\A[!-~]{16,4096}\z/) }
      end
    end
  end
end
