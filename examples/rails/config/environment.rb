# frozen_string_literal: true

require_relative "application"

Rails.application.initialize!

# A database that is not there yet is made: the example is to run at once.
ActiveRecord::Schema.verbose = false
load File.expand_path("../db/schema.rb", __dir__) unless ActiveRecord::Base.connection.table_exists?(:notes)
