# frozen_string_literal: true

# The address that `ssl_bind HOST, PORT, {...}` of a configuration file comes to. The names are Puma's; `certificates` is ours:
#
#   ssl_bind "0.0.0.0", 443, certificates: [{ cert: "a.pem", key: "a.key" }, { cert: "b.pem", key: "b.key" }]

module Tidegate
  class Configuration
    module TlsBind
      module_function

      # The address as text. Raises an ArgumentError for what is none.
      def address(host, port, options)
        options = options.to_h.transform_keys(&:to_s)
        pairs = Array(options.delete("certificates")).flat_map { |each| pairs(each.to_h.transform_keys(&:to_s)) } + pairs(options)
        host = "[#{host}]" if host.to_s.include?(":") && !host.to_s.start_with?("[")
        "ssl://#{host}:#{port}?#{pairs.map { |name, value| "#{name}=#{TlsQuery.escape(value)}" }.join("&")}"
      end

      def numbers(size: nil, timeout: nil) = "#{size}#{",#{timeout}" if timeout}"

      def list(name, values)
        return values.map { |each| [name, each] } if TlsQuery::PATHS.include?(name)

        [[name, values.join(name == "verification_flags" ? "," : ":")]]
      end

      # Lists are repeated options. `reuse` may be a Hash of two numbers, as in Puma.
      def pairs(options)
        options.flat_map do |name, value|
          name = name.tr("_", "-") if name.match?(/\A(?:key|trust)store_/)
          case value
          when nil then []
          when Hash then [[name, numbers(**value.transform_keys(&:to_sym))]]
          when Array then list(name, value)
          else [[name, value]]
          end
        end
      end
    end
  end
end
