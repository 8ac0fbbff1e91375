# frozen_string_literal: true

require "open3"
require "rbconfig"
require "rubygems/package"

# The gem as a user gets it: built, installed from the file into an empty place, and serving from there. To compile it once
# more would take minutes: `gem install` runs extconf.rb and make as ever, and make's cargo gives the library in lib/. That the
# gem has all that it is built from is seen in the list of files that cargo has read for that, and in what cargo says of its manifests.
RSpec.describe "the built gem", :processes do
  root = ServerProcess::ROOT

  def run_command(*command, env: {}, chdir: ServerProcess::ROOT)
    output, status = Open3.capture2e(ServerProcess.base_env.merge(env), *command, chdir:, unsetenv_others: true)
    expect(status).to be_success, "#{command.join(" ")} failed:\n#{output}"
    output
  end

  around { |example| Dir.mktmpdir("tidegate-gem") { |directory| (@directory = directory) && example.run } }

  let(:file) { "#{@directory}/tidegate.gem" }

  # The directory under target/ with what `rake compile` has put into lib/, if that is the last that cargo has built there.
  let(:built) do
    missing = "cargo's build of lib/tidegate is not here any more: run `rake compile`"
    library = "#{root}/lib/tidegate/tidegate.#{RbConfig::CONFIG["DLEXT"]}"
    Dir["#{root}/target/{release,debug}/libtidegate.#{RbConfig::CONFIG["SOEXT"]}"]
      .find { |path| FileUtils.identical?(path, library) }&.then { |path| File.dirname(path) } ||
      (ENV["CI"] == "true" ? raise(missing) : skip(missing))
  end

  # In the place of cargo: the real one reads the manifests and the lock that it is given, and the library is the one that was built here.
  # (It would compile all crates again: RubyGems has SOURCE_DATE_EPOCH set, and aws-lc-sys goes by it.)
  def cargo
    "#{@directory}/cargo".tap do |file|
      File.write(file, <<~SH, perm: 0o755)
        #!/bin/sh -e
        [ "$1" != --version ] || exec cargo --version
        while [ "$1" != --manifest-path ]; do shift; done
        cargo metadata --locked --offline --format-version 1 --manifest-path "$2" >/dev/null
        while [ "$1" != --target-dir ]; do shift; done
        mkdir -p "$2/release"
        cp "#{ServerProcess::ROOT}/lib/tidegate/tidegate.#{RbConfig::CONFIG["DLEXT"]}" "$2/release/libtidegate.#{RbConfig::CONFIG["SOEXT"]}"
      SH
    end
  end

  def build = run_command("gem", "build", "--output", file, "tidegate.gemspec")

  def specification = Gem::Package.new(file).spec

  def files = specification.files

  it "has what it takes to build and to run it, and nothing else" do
    build

    expect(files).to include("exe/tidegate", "lib/tidegate.rb", "lib/rackup/handler/tidegate.rb", "lib/rack/handler/tidegate.rb",
                             "ext/tidegate/extconf.rb", "ext/tidegate/Cargo.toml", "ext/core/Cargo.toml", "Cargo.toml", "Cargo.lock",
                             "LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "sig/tidegate.rbs", ".yardopts", "docs/options.md",
                             "deploy/Dockerfile", "deploy/.dockerignore", "deploy/helm/tidegate/templates/_names.tpl")
    expect(files.grep(%r{\A(spec|bench|bin|tmp|target|\.(?!yardopts\z))|\.so\z|/target/})).to be_empty
  end

  it "says where it comes from, what has changed, and where to read and to ask" do
    build
    uris = specification.metadata.slice(*%w[homepage_uri source_code_uri changelog_uri documentation_uri bug_tracker_uri])

    expect(uris.size).to eq(5)
    expect(uris.values).to all start_with("https://").and(start_with(specification.homepage))
    expect(uris.values.uniq.size).to eq(5)
    # RubyGems shows the pages of this version, and not of what is being worked on.
    expect(uris["changelog_uri"]).to include("/v#{Tidegate::VERSION}/")
  end

  it "has every file that cargo reads to build it" do
    build
    read = File.read("#{built}/libtidegate.d").partition(": ").last.split(/(?<!\\) |\n/).map { |path| path.delete_prefix("#{root}/") }

    expect(read).to include("ext/tidegate/src/lib.rs", "ext/core/src/lib.rs", a_string_ending_with(".html"))
    expect(read - files).to be_empty
    expect(files).to include("ext/tidegate/build.rs")
  end

  it "is installed from its file, and serves an app" do
    home = "#{@directory}/home"
    env = { "GEM_HOME" => home, "GEM_PATH" => [home, *Gem.path].join(":"), "CARGO" => cargo }
    build
    # `gem install` forgets GEM_PATH before it runs extconf.rb. From RubyGems 4.0 on it has make run jobs beside each other.
    build_tools = { "RUBYLIB" => Gem::Specification.find_by_name("rb_sys").full_require_paths.join(":"), "MAKEFLAGS" => "-j4" }
    run_command("gem", "install", "--local", "--no-document", file, env: env.merge(build_tools), chdir: @directory)
    FileUtils.cp(fixture("hello.ru"), "#{@directory}/config.ru")
    command = ["#{home}/bin/tidegate", "-p", "0", "-o", "127.0.0.1", "-C", "-"]
    server = track(ServerProcess.new(command, env:, chdir: @directory)).ready

    expect(server.get("/").body).to eq("hello\n")
    expect(File.read("/proc/#{server.pid}/maps")).to include("#{home}/").and match(%r{#{home}/.*tidegate\.so})
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
    # RubyGems keeps it twice; nothing of the build is left beside that.
    expect(Dir["#{home}/**/*tidegate.{so,bundle,dylib}"].map { |path| path.delete_prefix("#{home}/")[/\A\w+/] }).to match_array(%w[extensions gems])
    expect(Dir["#{home}/gems/*/ext/tidegate/{target,*.so}"]).to be_empty
  end
end
