# frozen_string_literal: true

# Writes the Makefile that builds the native extension with Cargo.
#
#   TIDEGATE_DEBUG_INFO=1      keeps symbols and line tables, for profilers and backtraces of Rust; the library is stripped without it
#   RB_SYS_CARGO_TARGET_DIR    where Cargo keeps what it has built, so that it is there the next time; make leaves it there
#   RB_SYS_CARGO_PROFILE       release unless it is set; RubyGems always takes release

require_relative "build_tools"

obstacle = BuildTools.new(root: File.expand_path("../..", __dir__)).obstacle
abort obstacle if obstacle

require "mkmf"
require "rb_sys/mkmf"

keep_debug_info = ENV.fetch("TIDEGATE_DEBUG_INFO", "") == "1"

create_rust_makefile("tidegate/tidegate") do |config|
  config.profile = ENV.fetch("RB_SYS_CARGO_PROFILE", :release).to_sym
  config.extra_cargo_args = ["--locked"]
  # Where cargo is missing, build_tools has said so.
  config.auto_install_rust_toolchain = false
  config.env = { "CARGO_PROFILE_RELEASE_DEBUG" => "false", "CARGO_PROFILE_RELEASE_STRIP" => "symbols" } unless keep_debug_info
  # RubyGems has copied the library to where it is loaded from.
  config.rubygems_clean_dirs += ["./target", "$(DLLIB)"]
end

# RubyGems 4.0 has make run jobs beside each other: what cargo has built was removed while it was being installed, or built again.
File.write("Makefile", "\n.NOTPARALLEL:\n", mode: "a")

# "make clean", with which RubyGems begins, and what it does after an installation would take away the whole directory of the profile.
File.write("Makefile", <<~MAKE, mode: "a") if ENV["RB_SYS_CARGO_TARGET_DIR"]

  CLEANOBJS = $(RB_SYS_BUILD_DIR)
  CLEANLIBS = $(DLLIB)
MAKE
