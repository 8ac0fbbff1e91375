# frozen_string_literal: true

# For system tests: a server that runs beside the tests in their process.
#
#   require "tidegate/capybara"
#   Capybara.server = :tidegate

require "capybara"
require "tidegate"

# Capybara expects a block that comes back only when the server has stopped; it runs it in a thread of its own.
Capybara.register_server(:tidegate) do |app, port, host, **options|
  Tidegate::Server.new(app, port:, host:, silent: true, **options.except(:Silent)).start.join
end
