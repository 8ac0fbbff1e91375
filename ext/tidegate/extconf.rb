# frozen_string_literal: true

# Builds the native extension with Cargo. RB_SYS_CARGO_PROFILE chooses the profile; release unless it is set.

require "mkmf"
require "rb_sys/mkmf"

create_rust_makefile("tidegate/tidegate") do |config|
  config.profile = ENV.fetch("RB_SYS_CARGO_PROFILE", :release).to_sym
  config.extra_cargo_args = ["--locked"]
end
