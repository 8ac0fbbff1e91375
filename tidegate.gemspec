# frozen_string_literal: true

require_relative "lib/tidegate/version"

Gem::Specification.new do |spec|
  spec.name = "tidegate"
  spec.version = Tidegate::VERSION
  spec.summary = "A Rack web server that loses no request when its container is replaced"
  spec.description = "A Rack-compatible web server with a Rust core (tokio, hyper). On SIGTERM it keeps serving " \
                     "while load balancers catch up, then finishes what is in flight and exits 0. Rust does all the " \
                     "waiting; Ruby threads only run the app."
  spec.authors = ["The Tidegate authors"]
  spec.license = "MIT"
  spec.required_ruby_version = ">= 3.2"
  spec.homepage = "https://github.com/tidegate/tidegate"
  spec.metadata = {
    "homepage_uri" => spec.homepage,
    "source_code_uri" => "#{spec.homepage}/tree/v#{spec.version}",
    "changelog_uri" => "#{spec.homepage}/blob/v#{spec.version}/CHANGELOG.md",
    "documentation_uri" => "#{spec.homepage}/tree/v#{spec.version}/docs",
    "bug_tracker_uri" => "#{spec.homepage}/issues",
    "rubygems_mfa_required" => "true"
  }

  spec.files = Dir.glob([
    "lib/**/*.rb", "sig/*.rbs", "exe/*", "ext/**/*.{rs,rb,toml,html,css,js,svg}", "Cargo.toml", "Cargo.lock",
    "docs/**/*.{md,svg,png}", "deploy/**/*", ".yardopts", "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"
  ], File::FNM_DOTMATCH).select { |path| File.file?(path) }
  spec.bindir = "exe"
  spec.executables = %w[tidegate tidegatectl]
  spec.require_paths = ["lib"]
  spec.extensions = ["ext/tidegate/extconf.rb"]

  spec.add_dependency "rack", ">= 2.2"
  spec.add_dependency "rb_sys", "~> 0.9"

  # From Ruby 4.0 on fiddle comes with Ruby as a gem, and Bundler hides what is not named.
  spec.add_development_dependency "fiddle", ">= 1.1"
  spec.add_development_dependency "rackup", ">= 1.0"
  spec.add_development_dependency "rake", ">= 13.0"
  # A part of Ruby that Bundler hides, like rexml: for the spec of sig/.
  spec.add_development_dependency "rbs", ">= 2.8"
  spec.add_development_dependency "rexml", ">= 3.2"
  spec.add_development_dependency "rspec", "~> 3.12"
end
