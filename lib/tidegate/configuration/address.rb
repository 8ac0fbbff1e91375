# frozen_string_literal: true

# An address to listen on, as it is written in a `bind`: checked here so that a slip is reported with the place it
# was made in, then handed to the native side as text.

module Tidegate
  class Configuration
    Address = Data.define(:scheme, :place, :query) do
      # Reads `tcp://HOST:PORT`, `ssl://HOST:PORT` or `unix://PATH`, each with `?name=value&...`. Throws :invalid with the reason.
      def self.parse(text)
        match = %r{\A(?<scheme>[a-z]+)://(?<place>[^?]*)(?:\?(?<query>.*))?\z}.match(text) or
          throw :invalid, "an address is written tcp://HOST:PORT or unix://PATH"
        new(scheme: match[:scheme], place: match[:place], query: match[:query]).tap(&:check)
      end

      # The address that a host and a port make: `::1` gets its brackets, and a path is a Unix socket.
      def self.for(host, port)
        return parse("unix://#{host}") if host.start_with?("/", ".", "@")

        host = "[#{host}]" if host.include?(":") && !host.start_with?("[")
        parse("tcp://#{host}:#{port}")
      end

      def tcp? = scheme == "tcp" || encrypted?

      def encrypted? = %w[ssl tls https].include?(scheme)

      # The same address with the path of a Unix socket made absolute, so that the file can be found again however
      # often the application changes directory.
      def in(directory)
        return self if tcp? || place.start_with?("@")

        with(place: File.expand_path(place, directory))
      end

      def to_s = "#{scheme}://#{place}#{"?#{query}" if query}"

      def check
        case scheme
        when "tcp", "ssl", "tls", "https" then check_tcp
        when "unix" then throw :invalid, "it needs a path, as in unix:///run/app.sock" if place.empty?
        else throw :invalid, "it begins with neither tcp:// nor unix://"
        end
        check_query(options)
      end

      private

      def options
        return %w[backlog proxy_protocol mode umask] unless tcp?

        encrypted? ? %w[backlog proxy_protocol cert key] : %w[backlog proxy_protocol]
      end

      def check_tcp
        port = place[/\A(?:\[[\w:.%]+\]|[^\[\]:]+):(\d+)\z/, 1]
        throw :invalid, "it needs a host and a port, as in tcp://0.0.0.0:9292 or tcp://[::1]:9292" unless port
        throw :invalid, "a port is a whole number from 0 to 65535" if port.to_i > 65_535
      end

      def check_query(names)
        query.to_s.split("&").each do |pair|
          name, value = pair.split("=", 2)
          throw :invalid, "#{name} is not among its options: #{Nearest.hint(name, names)}" unless names.include?(name)
          next if %w[cert key].include?(name)
          next check_proxy_protocol(value) if name == "proxy_protocol"

          digits = name == "backlog" ? /\A\d+\z/ : /\A[0-7]{3,4}\z/
          throw :invalid, "#{name}=#{value} is not a number that it can have" unless digits.match?(value.to_s)
        end
      end

      def check_proxy_protocol(value)
        throw :invalid, "proxy_protocol is true, v1, v2 or false" unless %w[true v1 v2 false].include?(value)
      end
    end
  end
end
