# frozen_string_literal: true

# What a Rails app gets from the Gemfile line: system tests run on Tidegate where Puma, which Rails has Capybara take otherwise, is not in
# the bundle. Capybara.server that the app sets itself comes first.

module Tidegate
  class Railtie < ::Rails::Railtie
    # Called before Rails chooses.
    initializer "tidegate.system_tests" do
      ActiveSupport.on_load(:action_dispatch_system_test_case) do
        if Capybara.server == Capybara.servers[:default] && !Gem.loaded_specs.key?("puma")
          require "tidegate/capybara"
          Capybara.server = :tidegate
        end
      end
    end
  end
end
