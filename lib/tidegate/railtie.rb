# frozen_string_literal: true

# What a Rails app gets from the Gemfile line: Capybara knows Tidegate, and its tests run on it where Puma, which Capybara and Rails take
# otherwise, is not in the bundle. Capybara.server that the app sets itself comes first.

module Tidegate
  class Railtie < ::Rails::Railtie
    # Bundler has loaded Capybara before the app boots, unless the Gemfile says otherwise. Of system tests this is called before Rails
    # chooses.
    initializer "tidegate.capybara" do
      Railtie.join_capybara if defined?(::Capybara)
      ActiveSupport.on_load(:action_dispatch_system_test_case) { Railtie.join_capybara }
    end

    # @api private
    def self.join_capybara
      require "tidegate/capybara"
      Capybara.server = :tidegate if Capybara.server == Capybara.servers[:default] && !Gem.loaded_specs.key?("puma")
    end
  end
end
