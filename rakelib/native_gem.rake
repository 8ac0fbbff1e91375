# frozen_string_literal: true

# Precompiled gems, which are installed without cargo.
#
#   rake gem:native                        for this platform and this Ruby, into pkg/
#   rake "gem:native[aarch64-linux]"       for another one and every Ruby, by rb-sys-dock, which needs docker or podman
#   rake "gem:native[all]"                 for all of NativeGem::PLATFORMS, one after the other
#
# .github/workflows/native-gems.yml does the second where there are runners for it.

require_relative "../bin/lib/native_gem"

# In a container of rb-sys-dock: its documented way, rake-compiler's "rake native:PLATFORM gem".
if ENV["RUBY_TARGET"]
  require "rb_sys/extensiontask"

  RbSys::ExtensionTask.new("tidegate", Gem::Specification.load("tidegate.gemspec")) do |task|
    task.lib_dir = "lib/tidegate"
    task.cross_compiling { |specification| NativeGem.strip(specification) }
  end
end

# The library as the gem has it: stripped, and in a directory of its own, so that what `rake compile` has made stays.
def native_library
  return File.expand_path(ENV["TIDEGATE_LIBRARY"]) if ENV["TIDEGATE_LIBRARY"]

  build = File.expand_path("tmp/native-#{RbConfig::CONFIG["arch"]}-#{RbConfig::CONFIG["ruby_version"]}")
  mkdir_p build, verbose: false
  Dir.chdir(build) do
    sh({ "TIDEGATE_DEBUG_INFO" => "0" }, RUBY, File.expand_path("../../ext/tidegate/extconf.rb"), verbose: false)
    sh "make", "--silent", "RB_SYS_CARGO_TARGET_DIR=#{File.expand_path("../../target")}", "RB_SYS_CARGO_PROFILE=release", verbose: false
  end
  File.join(build, "tidegate.#{RbConfig::CONFIG["DLEXT"]}")
end

def by_rb_sys_dock(platform)
  NativeGem::PLATFORMS.include?(platform) || abort("gem:native: there is no #{platform}; there are #{NativeGem::PLATFORMS.join(", ")}")
  %w[docker podman].any? { |name| system("command -v #{name} >/dev/null") } ||
    abort("gem:native: #{platform} is compiled in a container of rb-sys-dock, and there is neither docker nor podman here")
  sh "rb-sys-dock", "--platform", platform, "--ruby-versions", NativeGem::RUBIES.join(","), "--build"
end

namespace :gem do
  desc "Build a gem with the compiled extension into pkg/: for this platform, for [PLATFORM] by rb-sys-dock, or for [all]"
  task :native, [:platform] do |_, arguments|
    platforms = arguments[:platform] == "all" ? NativeGem::PLATFORMS : [arguments[:platform] || NativeGem.platform]
    platforms.each do |platform|
      if platform == NativeGem.platform && arguments[:platform] != "all"
        file = NativeGem.new(native_library).build(ENV.fetch("TIDEGATE_PKG", "pkg"))
        puts "#{file} (#{File.size(file)} bytes, Ruby #{RUBY_VERSION[/\d+\.\d+/]})"
      else
        by_rb_sys_dock(platform)
      end
    end
  end
end
