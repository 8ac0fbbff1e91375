# frozen_string_literal: true

require "open3"
require "yaml"
require_relative "../../bin/lib/native_gem"

# The precompiled gem for this platform, packed around the library that lies in lib/. To compile it as it is published, stripped and
# optimized, takes minutes: that is `rake gem:native`, by hand, and .github/workflows/native-gems.yml.
RSpec.describe "the precompiled gem", :processes do
  around { |example| Dir.mktmpdir("tidegate-native") { |directory| (@directory = directory) && example.run } }

  def run_command(*command, env: {})
    output, status = Open3.capture2e(ServerProcess.base_env.merge(env), *command, chdir: ServerProcess::ROOT, unsetenv_others: true)
    expect(status).to be_success, "#{command.join(" ")} failed:\n#{output}"
    output
  end

  # A development build is mostly debug information, which takes seconds to pack.
  def library
    built = File.join(ServerProcess::ROOT, "lib/tidegate/tidegate.#{RbConfig::CONFIG["DLEXT"]}")
    stripped = File.join(@directory, File.basename(built))
    RbConfig::CONFIG["host_os"].include?("linux") && system("strip", "-o", stripped, built, err: File::NULL) ? stripped : built
  end

  it "is installed into an empty place without cargo, and serves" do
    run_command("rake", "gem:native", env: { "TIDEGATE_LIBRARY" => library, "TIDEGATE_PKG" => @directory })
    file = "#{@directory}/tidegate-#{Tidegate::VERSION}-#{NativeGem.platform}.gem"
    gem = Gem::Package.new(file).spec

    expect(gem.platform).to eq(Gem::Platform.new(NativeGem.platform))
    expect(Gem::Platform.match_spec?(gem)).to be(true)
    expect(gem.extensions + gem.files.grep(/\.rs\z|Cargo|extconf|\Aext/)).to be_empty
    expect(gem.dependencies.reject { |each| each.type == :development }.map(&:name)).to eq(["rack"])
    expect(gem.files).to include("lib/tidegate/#{RUBY_VERSION[/\d+\.\d+/]}/tidegate.#{RbConfig::CONFIG["DLEXT"]}", "exe/tidegate", "docs/options.md")
    expect([RUBY_VERSION, "3.1.0", "99.0.0"].map { |ruby| gem.required_ruby_version.satisfied_by?(Gem::Version.new(ruby)) }).to eq([true, false, false])
    expect(run_command("bin/try-native-gem", file)).to match(/^try-native-gem: installed in \d+\.\d s, served, and stopped by TERM; the gem has \d+ bytes/)
  end

  it "is made for the same platforms and Rubies by the workflow" do
    jobs = YAML.safe_load_file(File.join(ServerProcess::ROOT, ".github/workflows/native-gems.yml"))["jobs"]
    tried = jobs["try"]["strategy"]["matrix"]

    expect(jobs["compile"]["strategy"]["matrix"]["platform"]).to eq(NativeGem::PLATFORMS)
    expect(jobs["compile"]["steps"].filter_map { |step| step.dig("with", "ruby-versions") }).to eq([NativeGem::RUBIES.join(",")])
    expect(tried["platform"] + ["x86_64-linux-musl"]).to match_array(NativeGem::PLATFORMS)
    expect([tried["ruby"], jobs["try-musl"]["strategy"]["matrix"]["ruby"]]).to all eq(NativeGem::RUBIES)
  end
end
