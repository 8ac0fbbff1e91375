# frozen_string_literal: true

# `rackup -s tidegate` and `rails server -u tidegate` where Rackup is a gem of its own, as with Rack 3.

require "rackup/handler"
require "tidegate"

module Rackup
  module Handler
    module Tidegate
      extend ::Tidegate::RackHandler
    end

    register :tidegate, Tidegate
  end
end
