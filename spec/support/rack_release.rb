# frozen_string_literal: true

# What the release of Rack that is loaded wants of an app, and which examples are about it. The one place in the specs
# that knows versions of Rack; bin/rack-specs runs them on each.
#
#   it "is called with a stream", rack: "3.0"..    is no promise to an older Rack, and left out there

require "rack" # Rack::Lint of Rack 2 loads nothing of what it names
require "uri"

module RackRelease
  CURRENT = Gem::Version.new(Rack.release)

  # Whether the release in use is in +range+ of versions, given as text.
  def self.in?(range)
    first, last = [range.begin, range.end].map { |version| version && Gem::Version.new(version) }
    Range.new(first, last, range.exclude_end?).cover?(CURRENT)
  end

  # Header values that are several: an Array since Rack 3, lines before.
  def self.values(*values) = in?("3.0"..) ? values : values.join("\n")

  # Whether Rack::Lint passes an Array on as one, so that its length is known; Rack 2's makes it a body that yields.
  def self.lint_keeps_arrays? = in?("3.0"..)
end

# A run that was meant for one release must not pass on another.
wanted = ENV.fetch("RACK_RELEASE", nil)
raise "RACK_RELEASE is #{wanted}, but Rack #{Rack.release} is loaded" if wanted && !Rack.release.start_with?("#{wanted}.")

RSpec.configure do |config|
  config.filter_run_excluding(rack: ->(range) { !RackRelease.in?(range) })
end
