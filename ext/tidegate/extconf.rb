# frozen_string_literal: true

# Builds the native extension with Cargo. RB_SYS_CARGO_PROFILE chooses the profile; release unless it is set.

require_relative "build_tools"

obstacle = BuildTools.new(root: File.expand_path("../..", __dir__)).obstacle
abort obstacle if obstacle

require "mkmf"
require "rb_sys/mkmf"

create_rust_makefile("tidegate/tidegate") do |config|
  config.profile = ENV.fetch("RB_SYS_CARGO_PROFILE", :release).to_sym
  config.extra_cargo_args = ["--locked"]
  # Where cargo is missing, build_tools has said so.
  config.auto_install_rust_toolchain = false
end
