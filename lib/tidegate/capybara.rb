# frozen_string_literal: true

# System tests on Tidegate:
#
#   require "tidegate/capybara"
#   Capybara.server = :tidegate                       # or with options: :tidegate, { max_threads: 4, silent: false }
#
# The server runs in the process of the tests, and traps no signal. The options are those of Tidegate::Server; the options that
# a suite has for Puma (Silent, Threads) work too.

require "capybara"
require "tidegate"

Capybara.register_server(:tidegate) do |app, port, host, **options|
  ours = options.transform_keys { |name| Tidegate::RackHandler::NAMES.fetch(name, name) }
  Tidegate::Server.new(app, host:, port:, silent: true, **ours).start.join
end
