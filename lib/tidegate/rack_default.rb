# frozen_string_literal: true

# Makes Tidegate the server of `rackup` and `rails server` when no server is named and Puma or Falcon is in the bundle too. Without
# these the line `gem "tidegate"` is enough (lib/rack/handler/falcon.rb).
#
#   gem "tidegate", require: "tidegate/rack_default"
#
# The variables RACKUP_HANDLER and RACK_HANDLER, and `-s` and `-u`, still come first. Rack's handlers can only be changed by
# putting a module in front of their method `default`, and only requiring this file does so.

require "tidegate"
require "rack"
require Rack.release < "3" ? "rack/handler/tidegate" : "rackup/handler/tidegate" # Rack 2 has the handlers itself

module Tidegate
  module RackDefault
    VARIABLES = %w[RACKUP_HANDLER RACK_HANDLER].freeze

    # The handler to use: Tidegate's, unless a variable names another.
    def default(...)
      VARIABLES.any? { |name| ENV.key?(name) } ? super : get("tidegate")
    end
  end
end

(Rack.release < "3" ? Rack::Handler : Rackup::Handler).singleton_class.prepend(Tidegate::RackDefault)
