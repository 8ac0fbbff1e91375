# frozen_string_literal: true

# What all specs share: how RSpec behaves, and the helpers of spec/support.

require "tidegate"

Dir[File.join(__dir__, "support/*.rb")].each { |file| require file }

RSpec.configure do |config|
  config.disable_monkey_patching!
  config.order = :random
  Kernel.srand config.seed

  config.expect_with(:rspec) { |expectations| expectations.syntax = :expect }
  config.mock_with(:rspec) { |mocks| mocks.verify_partial_doubles = true }
  config.warnings = true
  config.raise_errors_for_deprecations!
  config.fail_if_no_examples = true

  # A focus that was forgotten would let everything else go untested.
  if ENV["CI"]
    config.before(:each, :focus) { raise "this example is focused: remove that before it is committed" }
  else
    config.filter_run_when_matching :focus
  end
end
