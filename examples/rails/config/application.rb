# frozen_string_literal: true

# The whole configuration of the app. It is small, so that it can be read; nothing in it is there for the server.

require "rails"
require "active_record/railtie"
require "action_controller/railtie"
require "action_view/railtie"
require "action_cable/engine"

module Notes
  class Application < Rails::Application
    config.load_defaults 7.2
    config.root = File.expand_path("..", __dir__)
    config.eager_load = Rails.env.production?
    config.enable_reloading = !Rails.env.production?
    config.action_controller.perform_caching = Rails.env.production?
    config.secret_key_base = ENV.fetch("SECRET_KEY_BASE", "only for this example" * 4)
    config.hosts = []
    config.consider_all_requests_local = Rails.env.development?
    config.log_level = ENV.fetch("LOG_LEVEL", "warn")
    config.logger = ActiveSupport::Logger.new($stderr)
    config.active_record.maintain_test_schema = false
    config.action_cable.disable_request_forgery_protection = true
    config.action_cable.mount_path = "/cable"
    config.action_dispatch.show_exceptions = :all
  end
end
