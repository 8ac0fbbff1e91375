# frozen_string_literal: true

require_relative "../tally"

# The colours and words of the picture.
module Rollout
  class Chart
    module Style
      # What the phases are called for readers who have not read the program.
      WORDS = { Tally::UNTOLD => "told to end, still sent requests", Tally::TOLD => "sent no more",
                Tally::GONE => "gone, not replaced yet" }.freeze

      # The names of classes for the phases; any other phase is "other".
      CLASSES = { Tally::UNTOLD => "lag", Tally::TOLD => "told", Tally::GONE => "gone" }.freeze

      # On a light page, on a dark one. No custom properties: not every program that shows an SVG has them.
      COLOURS = {
        page: %w[#ffffff #0d1117], ink: %w[#1f2933 #e6edf3], faint: %w[#57606a #9aa7b4], line: %w[#c9d1d9 #3a434d],
        ok: %w[#8fa3b8 #64788e], failed: %w[#d1242f #ff5c5c], lag: %w[#fbeec2 #3d3214], told: %w[#dbeafe #14304f],
        gone: %w[#e6dcfa #33254f], other: %w[#e5e8eb #2b3138]
      }.freeze

      SHAPES = <<~CSS
        text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
        .heading { font-size: 17px; font-weight: 600; }
        .name { font-size: 14px; font-weight: 600; }
        .label { font-size: 12px; }
        .bad { font-weight: 600; }
        .grid { stroke-dasharray: 2 3; }
        .term { stroke-width: 1.5; }
      CSS

      module_function

      def css = "#{SHAPES}#{rules(0)}@media (prefers-color-scheme: dark) {\n#{rules(1)}}\n"

      def rules(page)
        c = COLOURS.transform_values { |pair| pair[page] }
        fills = { "text, .heading, .name" => c[:ink], ".label" => c[:faint], ".page" => c[:page], ".ok" => c[:ok],
                  ".failed, .bad" => c[:failed], **%i[lag told gone other].to_h { |name| [".phase-#{name}", c[name]] } }
        strokes = { ".axis" => c[:faint], ".grid" => c[:line], ".term" => c[:ink] }
        fills.map { |name, colour| "#{name} { fill: #{colour}; }\n" }.join +
          strokes.map { |name, colour| "#{name} { stroke: #{colour}; }\n" }.join
      end

      # The class of a phase.
      def phase(name) = "phase-#{CLASSES.fetch(name, 'other')}"

      def escape(text) = text.to_s.encode(xml: :text)
    end
  end
end
