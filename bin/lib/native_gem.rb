# frozen_string_literal: true

# Packs the gem for a platform: with the compiled extension, and without what it is compiled from.

require "fileutils"
require "rbconfig"
require "rubygems/package"
require "tmpdir"

# Makes such a gem of the gem's own specification and a library for the Ruby that runs this.
class NativeGem
  ROOT = File.expand_path("../..", __dir__)

  # Where such gems are made for, and the Rubies that each of them has a library for.
  PLATFORMS = %w[x86_64-linux aarch64-linux x86_64-linux-musl arm64-darwin].freeze
  RUBIES = %w[3.2 3.3 3.4 4.0].freeze

  # What of the gem is there to be compiled.
  SOURCES = %r{\A(?:ext/|Cargo\.(?:toml|lock)\z)}

  # As RubyGems calls this machine's platform in the name of a gem: without "-gnu", which every Linux has that is not "-musl".
  def self.platform
    cpu, system = Gem::Platform.local.cpu, Gem::Platform.local.os
    [cpu, system, ("musl" if RbConfig::CONFIG["host_os"].include?("musl"))].compact.join("-")
  end

  # Turns a specification into that of a gem that needs no compiler where it is installed. rb_sys' own task does this for other platforms, but for
  # the files that are not Rust.
  def self.strip(specification)
    specification.extensions = []
    specification.files = specification.files.grep_v(SOURCES)
    specification.dependencies.reject! { |dependency| dependency.name == "rb_sys" }
    specification
  end

  # +library+ is the compiled extension.
  def initialize(library)
    @library = library
  end

  # The name of the file in the gem, where lib/tidegate/native.rb looks first.
  def place = "lib/tidegate/#{ruby.first(2).join(".")}/tidegate.#{RbConfig::CONFIG["DLEXT"]}"

  # Writes the gem into +directory+, and returns its path.
  def build(directory)
    gem = specification
    file = File.expand_path("#{gem.full_name}.gem", directory)
    FileUtils.mkdir_p(directory)
    Dir.mktmpdir("tidegate-native") do |stage|
      (gem.files - [place]).each { |name| copy(File.join(ROOT, name), File.join(stage, name)) }
      copy(@library, File.join(stage, place))
      Dir.chdir(stage) { Gem::DefaultUserInteraction.use_ui(Gem::SilentUI.new) { Gem::Package.build(gem, true, false, file) } }
    end
    file
  end

  private

  def ruby = RbConfig::CONFIG["ruby_version"].split(".").map { |part| Integer(part[/\d+/]) }

  # For one Ruby, since there is one library: its own ABI.
  def specification
    Dir.chdir(ROOT) do
      self.class.strip(Gem::Specification.load("tidegate.gemspec").dup).tap do |gem|
        gem.platform = self.class.platform
        gem.required_ruby_version = [">= #{ruby[0]}.#{ruby[1]}", "< #{ruby[0]}.#{ruby[1] + 1}.dev"]
        gem.files += [place]
      end
    end
  end

  def copy(from, to)
    FileUtils.mkdir_p(File.dirname(to))
    FileUtils.cp(from, to, preserve: true)
  end
end
