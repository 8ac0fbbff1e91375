# frozen_string_literal: true

# The settings of a server with where each was made, for `GET /settings` and the page of the admin listener. Secrets and code are
# only said to be there.

require "json"

module Tidegate
  module Control
    module Settings
      SECRET = "(secret)"
      CODE = "(code)"

      module_function

      # A JSON array with an object for each option: group, name, value, origin and text. The origin is null for a default.
      def json(configuration)
        JSON.generate(rows(configuration))
      end

      # The same as Hashes.
      def rows(configuration)
        Configuration::GROUPS.flat_map do |group, options|
          options.reject(&:stands_for).map { |option| entry(group, option, configuration) }
        end
      end

      def entry(group, option, configuration)
        value = value(option, configuration)
        { group:, name: option.name, value:, origin: origin(option, configuration), text: option.text }
          .transform_values { |part| part.is_a?(String) ? Printable.unicode(part) : part }
      end

      # Addresses that were not given are made of two other options.
      def origin(option, configuration)
        configuration.origin(option.name) || ("host and port" if option.name == :bind)
      end

      # As text, whatever it is.
      def value(option, configuration)
        value = option.name == :bind ? configuration.shown_addresses : configuration.public_send(option.name)
        return option.default_text if value.nil? || value == []
        return SECRET if option.secret
        return CODE if option.code

        case value
        when Float then format("%g", value)
        when Array then value.join(", ")
        else value.to_s
        end
      end
    end
  end
end
