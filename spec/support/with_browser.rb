# frozen_string_literal: true

# For specs with a browser: one for all of them, as it takes seconds to start, and a page for each. Where none is installed, the
# example says so and is skipped.
require_relative "browser"

module WithBrowser
  def self.shared = @shared ||= Browser.new

  def self.close = @shared&.close

  def browser
    skip "chromium is not here: bin/setup test installs it" unless Browser.program
    @browser ||= WithBrowser.shared.begin_page
  end
end

RSpec.configure do |config|
  config.include WithBrowser, :browser
  config.after(:suite) { WithBrowser.close }
end
