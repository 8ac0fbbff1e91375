# frozen_string_literal: true

# What the configuration files say: those that were named, or the one in a usual place.

require_relative "layer"

module Tidegate
  class Configuration
    class Files
      NONE = "-"

      # +given+ is the Setting of the option `config`, or nil to look in +directory+ for the usual ones. +others+ yields the Setting of
      # an option that sources beside the files have.
      def initialize(given, environment:, directory:, others: nil)
        @given = given
        @others = others
        @environment = environment
        @directory = directory
      end

      # Sentences about what in the files does nothing. Known after #layer; its deferred blocks may add some.
      def warnings = @warnings.flatten

      # Evaluates the files into a Layer, one after the other.
      def layer
        @warnings = []
        paths.reduce(Layer.new) { |layer, path| puma?(path) ? load_puma(path, layer) : load_own(path, layer) }
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

      # A file that has Puma in its name, or asks for what only Puma has, is in Puma's language.
      def puma?(path) = path.match?(%r{(?:\A|/)(?:puma/[^/]+|[^/]*puma[^/]*)\z}) || puma_inside(path)

      # The first of these in a file: Puma's constants, and its Hash of options.
      def puma_inside(path)
        File.foreach(path).filter_map { |line| line.sub(/#.*/, "")[/(?<![\w:.])(?:::)?Puma(?=::|\.)|@(?:options|config)\b/] }.first
      rescue SystemCallError, ArgumentError
        nil # reported by the one that evaluates it
      end

      def load_puma(path, layer)
        warnings = PumaDSL.load(path, layer, others: @others)
        own = path.match?(/puma/)
        @warnings << "#{Fault.relative(path)} is used, as there is no config/tidegate.rb" unless @given
        @warnings << "#{Fault.relative(path)} is read in Puma's language, as it names #{puma_inside(path)}" unless own
        @warnings << warnings
        layer
      end

      # A file in our language; or in Puma's, if it has a word that only Puma has. Then it is evaluated once more, from its beginning.
      def load_own(path, layer)
        DSL.load(path, own = layer.dup)
        own
      rescue DSL::UnknownWord => error
        raise unless PumaDSL.method_defined?(error.word)

        @warnings << "#{error.place}: #{error.word} is a word of Puma's, so that the file is read in Puma's language"
        @warnings << PumaDSL.load(path, layer, others: @others)
        layer
      end

      def usual
        names = %w[tidegate puma].flat_map { |name| ["config/#{name}/#{@environment}.rb", "config/#{name}.rb"] }
        names.map { |path| File.expand_path(path, @directory) }
      end
    end
  end
end
