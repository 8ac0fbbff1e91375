# frozen_string_literal: true

# `rackup -s tidegate` and `rails server -u tidegate` where Rackup is still a part of Rack, as in Rack 2.

require "rack/handler"
require "tidegate"

module Rack
  module Handler
    module Tidegate
      extend ::Tidegate::RackHandler
    end

    register :tidegate, Tidegate
  end
end
