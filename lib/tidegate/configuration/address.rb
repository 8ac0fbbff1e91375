# frozen_string_literal: true

# An address to listen on, as it is written in a `bind`: checked here so that a slip is reported with the place it
# was made in, then handed to the native side as text.

require_relative "tls_query"

module Tidegate
  class Configuration
    Address = Data.define(:scheme, :place, :query) do
      # Reads `tcp://HOST:PORT`, `ssl://HOST:PORT` (which may be written https:// or tls://) or `unix://PATH`, each with
      # `?name=value&...`. Throws :invalid with the reason.
      def self.parse(text)
        throw :invalid, "it is a port alone: #{ports(text)}" if text.match?(/\A:?\d+\z/)

        match = %r{\A(?<scheme>[a-z]+)://(?<place>[^?]*)(?:\?(?<query>.*))?\z}.match(text.sub(%r{\Aunix:(?!//)}, "unix://")) or
          throw :invalid, "an address is written tcp://HOST:PORT, ssl://HOST:PORT or unix://PATH"
        scheme = %w[https tls].include?(match[:scheme]) ? "ssl" : match[:scheme]
        new(scheme:, place: match[:place], query: match[:query]).tap(&:check)
      end

      # How an address with that port is written.
      def self.ports(text)
        "write tcp://0.0.0.0:#{text.delete(":")} for every address of the machine, tcp://127.0.0.1:#{text.delete(":")} for this machine alone"
      end

      # The address that a host and a port make: `::1` gets its brackets, and a path is a Unix socket.
      def self.for(host, port)
        return parse("unix://#{host}") if host.start_with?("/", ".", "@")

        host = "[#{host}]" if host.include?(":") && !host.start_with?("[")
        parse("tcp://#{host}:#{port}")
      end

      def tcp? = scheme == "tcp"

      def tls? = scheme == "ssl"

      # Whether it is encrypted and does not say with which certificate.
      def without_certificate? = tls? && !tls.certificate?

      # The same with the certificate for localhost whose authority is kept in +directory+.
      def for_development(directory) = with(query: tls.with("development", directory))

      # For an address that speaks plain HTTP alone.
      def refuse_tls
        throw :invalid, "it speaks no TLS: let it be a Unix socket, or on 127.0.0.1" if tls?
      end

      # The same with the PROXY header of that version, unless it says itself which; +version+ is nil or false for none.
      def behind(version)
        return self if !version || query.to_s.match?(/(?:\A|&)proxy_protocol=/)

        with(query: [*query, "proxy_protocol=#{version}"].join("&"))
      end

      # Sentences about options that do nothing.
      def warnings = tls.warnings

      # The address for the native side, which has no option low_latency but for TLS: what is written is sent at once.
      def plain
        return self if tls? || query.nil?

        left = query.split("&").reject { |pair| pair.start_with?("low_latency=") }
        with(query: left.empty? ? nil : left.join("&"))
      end

      # The same address with the path of a Unix socket or of a certificate made absolute, so that the file can be found again
      # however often the application changes directory.
      def in(directory)
        return query ? with(query: tls.in(directory)) : self if tls?
        return plain if tcp? || place.start_with?("@")

        with(place: File.expand_path(place, directory))
      end

      # The same address as under Puma: a Unix socket that does not say which users may connect is for all, such as those of a proxy.
      def for_all
        return self if scheme != "unix" || place.start_with?("@") || query.to_s.match?(/(?:\A|&)(?:mode|umask)=/)

        with(query: [*query, "mode=0777"].join("&"))
      end

      def to_s = "#{scheme}://#{place}#{"?#{query}" if query}"

      def check
        case scheme
        when "tcp" then check_tcp
        when "unix" then throw :invalid, "it needs a path, as in unix:///run/app.sock" if place.empty?
        when "ssl"
          check_tcp
          return tls.check
        else throw :invalid, "it begins with none of tcp://, ssl:// and unix://"
        end
        check_query(tcp? ? %w[backlog proxy_protocol low_latency] : %w[backlog proxy_protocol mode umask])
      end

      private

      def tls = TlsQuery.new(query)

      def check_tcp
        port = place[/\A(?:\[[\w:.%]+\]|[^\[\]:]+):(\d+)\z/, 1]
        throw :invalid, "it needs a host and a port, as in tcp://0.0.0.0:9292 or tcp://[::1]:9292" unless port
        throw :invalid, "a port is a whole number from 0 to 65535" if port.to_i > 65_535
      end

      def check_query(names)
        query.to_s.split("&").each do |pair|
          name, value = pair.split("=", 2)
          throw :invalid, "#{name} is not among its options: #{Nearest.hint(name, names)}" unless names.include?(name)
          next check_word(name, value, %w[true v1 v2 false]) if name == "proxy_protocol"
          next check_word(name, value, %w[true false]) if name == "low_latency"

          digits = name == "backlog" ? /\A\d+\z/ : /\A[0-7]{3,4}\z/
          throw :invalid, "#{name}=#{value} is not a number that it can have" unless digits.match?(value.to_s)
        end
      end

      def check_word(name, value, words)
        throw :invalid, "#{name} is #{words[..-2].join(", ")} or #{words.last}" unless words.include?(value)
      end
    end
  end
end
