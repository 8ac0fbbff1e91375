# frozen_string_literal: true

# The same as rack.ru, in Rails with Active Record, in one file. The environment is as there. Rails writes its lines to
# the log anyway, so that /logged adds the waiting only.
require "rails"
require "active_record/railtie"
require "action_controller/railtie"
require_relative "busy"

class Writes < Rails::Application
  config.load_defaults 7.2
  config.root = __dir__
  config.eager_load = false
  config.secret_key_base = "only for this measurement" * 4
  config.hosts = []
  config.log_level = :info
  config.logger = ActiveSupport::Logger.new(ENV.fetch("LOG", File::NULL))
  config.action_dispatch.show_exceptions = :none
end

class Note < ActiveRecord::Base
end

class WritesController < ActionController::API
  rescue_from(ActiveRecord::StatementInvalid) { |error| render plain: "#{error.class}: #{error.message}\n", status: :internal_server_error }

  def read
    Busy.for_ms(2)
    render plain: "done\n"
  end

  def write = write_after(10)

  def late = write_after(150)

  def logged
    sleep(0.001)
    write
  end

  private

  def write_after(milliseconds)
    Busy.for_ms(milliseconds)
    Note.transaction do
      Note.where(id: ...100).count
      Busy.for_ms(5)
      Note.create!(text: "note")
      Busy.for_ms(5)
    end
    Busy.for_ms(10)
    render plain: "done\n"
  end
end

timeout = Integer(ENV.fetch("BUSY_TIMEOUT"))
ENV["DATABASE_URL"] = "sqlite3:#{ENV.fetch('DATABASE')}?pool=#{ENV.fetch('POOL')}#{"&timeout=#{timeout}" if timeout.positive?}"
Rails.application.initialize!
settings = ActiveRecord::Base.connection_db_config.configuration_hash.merge(default_transaction_mode: ENV.fetch("MODE").to_sym)
ActiveRecord::Base.establish_connection(settings)
ActiveRecord::Base.connection.create_table(:notes, if_not_exists: true) { |table| table.string :text }
Rails.application.routes.draw { %w[read write late logged].each { |path| get path, to: "writes##{path}" } }

run Rails.application
