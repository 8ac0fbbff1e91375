# frozen_string_literal: true

# The options of an encrypted address, ssl://HOST:PORT?cert=FILE&key=FILE: their names, which are Puma's where Puma has the option, what
# each may be, and which of Puma's mean nothing here. What the files have in them is the native side's business.

module Tidegate
  class Configuration
    class TlsQuery
      PATHS = %w[cert key ca crl].freeze
      SWITCHES = %w[no_tlsv1 no_tlsv1_1 low_latency http2].freeze
      NAMES = (PATHS + SWITCHES + %w[cert_pem key_pem key_password_command verify_mode verification_flags min_version ssl_cipher_filter
                                     ssl_ciphersuites reuse backlog proxy_protocol]).freeze

      # Not for a line of output.
      SECRET = %w[key_pem cert_pem key_password_command].freeze

      # What Puma takes on JRuby.
      KEYSTORES = %w[keystore keystore-pass keystore-type truststore truststore-pass truststore-type cipher_suites ssl_cipher_list
                     protocols].freeze

      # OpenSSL's flags. The first are carried out, and the next are so anyway.
      FLAGS = %w[CRL_CHECK CRL_CHECK_ALL].freeze
      ALWAYS = %w[TRUSTED_FIRST PARTIAL_CHAIN].freeze
      OTHER_FLAGS = %w[USE_CHECK_TIME IGNORE_CRITICAL X509_STRICT ALLOW_PROXY_CERTS POLICY_CHECK EXPLICIT_POLICY INHIBIT_ANY INHIBIT_MAP
                       NOTIFY_POLICY EXTENDED_CRL_SUPPORT USE_DELTAS CHECK_SS_SIGNATURE SUITEB_128_LOS_ONLY SUITEB_192_LOS
                       SUITEB_128_LOS NO_ALT_CHAINS NO_CHECK_TIME].freeze

      # Text as it is written in an address.
      def self.escape(text) = text.to_s.b.gsub(%r{[^\w./:,@!-]}n) { |byte| format("%%%02X", byte.ord) }

      # An address without what is not for a line of output.
      def self.shown(address) = address.gsub(/([?&](?:#{SECRET.join("|")})=)[^&]*/, '\1...')

      # +text+ is what stands behind the question mark.
      def initialize(text)
        @pairs = text.to_s.split("&").reject(&:empty?).map do |pair|
          name, value = pair.split("=", 2)
          [name, value.to_s]
        end
      end

      # Throws :invalid with the reason for what it cannot be.
      def check
        @pairs.each { |name, value| check_option(name, value) }
        checks_clients = %w[peer force_peer].include?(self["verify_mode"])
        if checks_clients && !self["ca"]
          throw :invalid, "verify_mode=#{self["verify_mode"]} needs ca=FILE, with the authorities that sign clients' certificates"
        end
        throw :invalid, "#{self["verification_flags"]} needs crl=FILE" if flags.intersect?(FLAGS) && !self["crl"]
      end

      # Whether there is one to be shown to clients.
      def certificate? = %w[cert cert_pem].any? { |name| self[name] }

      # Sentences about what was given and does nothing.
      def warnings
        old = %w[no_tlsv1 no_tlsv1_1].select { |name| self[name] == "false" }
        idle = flags - FLAGS - ALWAYS
        [
          *("#{old.join(" and ")} change#{"s" if old.one?} nothing: TLS 1.0 and 1.1 are never spoken" if old.any?),
          *("low_latency=false changes nothing: what is written is sent at once" if self["low_latency"] == "false"),
          *("the numbers of reuse change nothing: sessions are resumed with tickets, which take no memory" if self["reuse"]&.match?(/\d/)),
          *("the verification flags #{idle.join(", ")} change nothing: certificates are checked as RFC 5280 says" if idle.any?),
          *("ca does nothing without verify_mode=peer or force_peer" if self["ca"] && [nil, "none"].include?(self["verify_mode"]))
        ]
      end

      # The same with paths that hold wherever the process is.
      def in(directory)
        join { |name, value| PATHS.include?(name) ? self.class.escape(File.expand_path(decode(value), directory)) : value }
      end

      # The same with one option more.
      def with(name, value) = [to_s, "#{name}=#{self.class.escape(value)}"].reject(&:empty?).join("&")

      def to_s = join { |_, value| value }

      private

      def [](name) = @pairs.find { |other, value| other == name && !value.empty? }&.last

      def flags = self["verification_flags"].to_s.split(",")

      def join = @pairs.map { |name, value| "#{name}=#{yield(name, value)}" }.join("&")

      def decode(value) = value.gsub(/%(\h\h)/) { Regexp.last_match(1).hex.chr }.force_encoding(Encoding::UTF_8)

      def check_option(name, value)
        throw :invalid, "#{name} is for the keystores of JRuby: give cert=FILE and key=FILE, in PEM" if KEYSTORES.include?(name)
        throw :invalid, "#{name} is not among its options: #{hint(name)}" unless NAMES.include?(name)
        throw :invalid, "#{name} needs a value" if value.empty?

        words = words(name) or return
        return if words.is_a?(Regexp) ? words.match?(value) : words.include?(value)

        throw :invalid, "#{name}=#{value} is not #{words.is_a?(Regexp) ? "a number that it can have" : words.join(" or ")}"
      end

      def hint(name) = Nearest.to(name, NAMES)&.then { |nearest| "did you mean #{nearest}?" } || "docs/tls.md has them"

      # What the value of an option is one of; nil for text.
      def words(name)
        case name
        when *SWITCHES then %w[true false]
        when "proxy_protocol" then %w[true v1 v2 false]
        when "verify_mode" then %w[none peer force_peer]
        when "min_version" then %w[1.2 1.3]
        when "backlog" then /\A\d+\z/
        when "verification_flags" then /\A(?:(?:#{[*FLAGS, *ALWAYS, *OTHER_FLAGS].join("|")})(?:,|\z))+\z/
        when "reuse" then /\A(?:true|false|dflt|\d*(?:,\d+)?)\z/
        end
      end
    end
  end
end
