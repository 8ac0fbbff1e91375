# frozen_string_literal: true

# What the configuration files say: those that were named, or the one in a usual place.

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

      # Sentences about what in the files does nothing. Known after #layer; its deferred blocks may add some.
      def warnings = @warnings.flatten

      # Evaluates the files into a Layer, one after the other.
      def layer
        @warnings = []
        paths.each_with_object(Layer.new) do |path, layer|
          @warnings << (puma?(path) ? load_puma(path, layer) : DSL.load(path, layer))
        end
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

      # A file by one of the names that Puma looks for is in Puma's language.
      def puma?(path) = path.match?(%r{(?:\A|/)puma(?:/[^/]+)?\.rb\z})

      def load_puma(path, layer)
        PumaDSL.load(path, layer).then do |warnings|
          @given ? warnings : ["#{Fault.relative(path)} is used, as there is no config/tidegate.rb", warnings]
        end
      end

      def usual
        names = %w[tidegate puma].flat_map { |name| ["config/#{name}/#{@environment}.rb", "config/#{name}.rb"] }
        names.map { |path| File.expand_path(path, @directory) }
      end
    end
  end
end
