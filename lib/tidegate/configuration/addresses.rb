# frozen_string_literal: true

# Which addresses `bind`, `port` and `host` come to, when several sources say something about them.
#
# The strongest source that says anything counts alone: its binds, and its port if it names one, as in Puma. A port
# from the environment is the exception: platforms set PORT for every process, and that must not undo a bind that
# the application's own file asks for.

require "socket"
require_relative "layer"

module Tidegate
  class Configuration
    class Addresses
      # +layers+ from strong to weak. +state+ is the directory in which a certificate for development is kept.
      def initialize(layers, state: nil)
        @layers = layers
        @state = state
      end

      # Sentences about options of addresses that do nothing.
      def warnings
        list.flat_map(&:warnings).map { |reason| "#{setting(:bind)&.origin}: #{reason}" }.uniq
      end

      # The addresses, as text for the native side; never none.
      def to_a
        directory = File.expand_path(value(:directory) || ".")
        list.map { |address| certified(address).behind(value(:proxy_protocol)).in(directory).for_all.to_s }.uniq
      end

      # Every address of the machine: `[::]`, which takes IPv4 too, needs an IPv6 address that others can reach.
      def self.default_host
        reachable = Socket.ip_address_list.any? do |address|
          address.ipv6? && !address.ipv6_loopback? && !address.ipv6_linklocal?
        end
        reachable ? "[::]" : "0.0.0.0"
      end

      private

      # In development an encrypted address may come without a certificate.
      def certified(address)
        return address unless address.without_certificate?
        return address.for_development(@state) if @state && value(:environment) == "development"

        raise ConfigurationError, "#{setting(:bind).origin}: #{address.scheme}://#{address.place} needs cert=FILE and key=FILE: the server " \
                                  "makes a certificate for localhost in the environment development alone, and this is #{value(:environment)}"
      end

      def list
        layer = @layers.find { |each| each.key?(:bind) || (!each.ambient? && (each.key?(:port) || each.key?(:host))) }
        binds = layer&.[](:bind)&.value || []
        return binds if binds.any? && !layer.key?(:port)

        binds + [default_address]
      end

      def default_address
        host = value(:host) || self.class.default_host
        reason = catch(:invalid) { return Address.for(host, value(:port)) }
        raise ConfigurationError, "#{setting(:host).origin}: host cannot be #{host.inspect}: #{reason}"
      end

      def value(name) = setting(name)&.value || OPTIONS.fetch(name).default

      def setting(name) = @layers.filter_map { |layer| layer[name] }.first
    end
  end
end
