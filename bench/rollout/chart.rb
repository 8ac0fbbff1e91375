# frozen_string_literal: true

require "json"
require_relative "chart/panel"
require_relative "chart/style"
require_relative "report"

# The picture of one or several results, side by side: requests and failures over time around the TERM, as an SVG that
# needs nothing else and can be read on a light and on a dark page.
#
# A result is one of Rollout::Run, or what Report#to_h or its JSON say of one.
module Rollout
  class Chart
    WIDTH = 960
    HEADER = 64
    FOOTER = 24

    def initialize(results)
      @results = (results.is_a?(Array) ? results : [results]).map { |result| plain(result) }
    end

    def to_svg
      panels = @results.each_with_index.map do |result, index|
        Panel.new(result, range:, top: HEADER + (index * Panel::HEIGHT), highest: highest(result)).to_svg
      end
      <<~SVG
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 #{WIDTH} #{height}" width="#{WIDTH}" height="#{height}"
          role="img" aria-labelledby="title summary">
        <title id="title">Requests and failures around the TERM</title>
        <desc id="summary">#{Style.escape(summary)}</desc>
        <style>#{Style.css}</style>
        <rect class="page" width="#{WIDTH}" height="#{height}"/>
        #{header.join("\n")}
        #{panels.join("\n")}
        <text class="label" x="#{WIDTH / 2}" y="#{height - 20}" text-anchor="middle">seconds from the TERM to a pod</text>
        </svg>
      SVG
    end

    private

    def plain(result)
      hash = result.is_a?(Hash) ? result : Report.new(result).to_h
      JSON.parse(JSON.generate(hash), symbolize_names: true)
    end

    def height = HEADER + (@results.size * Panel::HEIGHT) + FOOTER

    def summary = @results.map { |result| "#{result[:server]}: #{result[:failed]} of #{result[:requests]} requests failed." }.join(" ")

    # The seconds that are shown: where any result has requests, and the same for all, so that they compare.
    def range
      @range ||= begin
        used = @results.flat_map { |result| result[:timeline].select { |bin| bin[:requests].positive? }.map { |bin| bin[:at] } }
        (([used.min || 0, -1].min).floor..((used.max || 0) + 0.1).ceil.clamp(1, 20))
      end
    end

    # The most requests in a tenth of a second. A few bins may be far above all others, when what was stuck comes loose.
    def highest(result) = [result[:timeline].map { |bin| bin[:requests] }.max.to_i, 1].max

    def header
      [%(<text class="heading" x="#{Panel::LEFT}" y="26">Requests and failures around the TERM</text>),
       *legend]
    end

    def legend
      entries = [["ok", "answered"], ["failed", "failed"]] + spans.map { |phase| [Style.phase(phase), Style::WORDS.fetch(phase, phase)] }
      x = Panel::LEFT
      entries.map do |name, words|
        at = x
        x += 24 + (words.length * 6.6).ceil + 14
        %(<rect class="#{name} swatch" x="#{at}" y="40" width="14" height="12"/>) +
          %(<text class="label" x="#{at + 20}" y="50">#{Style.escape(words)}</text>)
      end
    end

    def spans = @results.flat_map { |result| result[:spans].map { |span| span[:phase] } }.uniq
  end
end
