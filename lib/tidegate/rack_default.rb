# frozen_string_literal: true

# Makes Tidegate the server of `rackup` and `rails server` where nobody names one:
#
#   gem "tidegate", require: "tidegate/rack_default"
#
# The variables RACKUP_HANDLER and RACK_HANDLER, and `-s` and `-u`, still come first. Both have no other hook for this
# than their method `default`, so that requiring this file, and nothing else, puts ours in front of it.

require "tidegate"
require "rack"
require Rack.release < "3" ? "rack/handler/tidegate" : "rackup/handler/tidegate" # Rack 2 has the handlers itself

module Tidegate
  module RackDefault
    VARIABLES = %w[RACKUP_HANDLER RACK_HANDLER].freeze

    # The handler to use.
    def default(...)
      VARIABLES.any? { |name| ENV.key?(name) } ? super : get("tidegate")
    end
  end
end

(Rack.release < "3" ? Rack::Handler : Rackup::Handler).singleton_class.prepend(Tidegate::RackDefault)
