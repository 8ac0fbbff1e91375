# frozen_string_literal: true

# For a Gemfile: makes Tidegate what `rackup` and `rails server` use where nobody names a server, also with Puma in the
# bundle.
#
#   gem "tidegate", require: "tidegate/rack_default"

require "rackup/handler/tidegate"

module Rackup
  module Handler
    # Rackup asks this; RACKUP_HANDLER and `-u` still come first.
    def self.default(*) = ENV.key?("RACKUP_HANDLER") ? get(ENV.fetch("RACKUP_HANDLER")) : Rackup::Handler::Tidegate
  end
end
