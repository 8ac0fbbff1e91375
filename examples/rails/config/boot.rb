# frozen_string_literal: true

# For `rails server`: where Bundler is set up, the Gemfile counts; without it, the gems that are installed.

ENV["BUNDLE_GEMFILE"] ||= File.expand_path("../Gemfile", __dir__)
require "bundler/setup" if ENV.key?("RUN_WITH_BUNDLER")
$LOAD_PATH.unshift(File.expand_path("../../../lib", __dir__)) # the server of this repository
