# frozen_string_literal: true

# What the configuration files say: those that were named, or the one that is where people put it. An app that comes
# from Puma has a file for Puma, which counts where there is none for us.

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
        @notes = []
        @warnings = []
      end

      # Sentences for the log: what was read in place of a file of ours, and what changes nothing in it. Known after
      # #layer.
      attr_reader :notes, :warnings

      # Evaluates the files into a Layer, one after the other.
      def layer
        paths.each_with_object(Layer.new) do |path, layer|
          @notes << "options from Puma's #{Fault.relative(path)}, as far as they mean something here" if PumaNames.file?(path)
          @warnings.concat(DSL.load(path, layer))
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

      def usual
        %w[tidegate puma].flat_map { |name| ["config/#{name}/#{@environment}.rb", "config/#{name}.rb"] }
                         .map { |path| File.expand_path(path, @directory) }
      end
    end
  end
end
