# frozen_string_literal: true

# What the configuration files say: those that were named, or the one that is where people put it.

require_relative "layer"

module Tidegate
  class Configuration
    class Files
      NONE = "-"

      # +given+ is the Setting of the option `config`, or nil to look in +directory+ for the usual ones.
      def initialize(given, environment:, directory:)
        @given = given
        @environment = environment
        @directory = directory
      end

      # Evaluates the files into a Layer, one after the other.
      def layer
        paths.each_with_object(Layer.new) { |path, layer| DSL.load(path, layer) }
      end

      private

      def paths
        @given ? named : usual.find { |path| File.file?(path) }.then { |path| [*path] }
      end

      def named
        (@given.value - [NONE]).map do |path|
          next File.expand_path(path) if File.file?(path)

          raise ConfigurationError, "#{@given.origin}: the configuration file #{path} does not exist"
        end
      end

      def usual
        ["config/tidegate/#{@environment}.rb", "config/tidegate.rb"].map { |path| File.expand_path(path, @directory) }
      end
    end
  end
end
