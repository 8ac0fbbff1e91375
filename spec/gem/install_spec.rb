# frozen_string_literal: true

require "open3"

# The gem as a user gets it: built, installed from the file into an empty place, and serving from there. Compiling
# takes a while, although the crates are those that were compiled for the working copy.
RSpec.describe "the built gem", :processes, :slow do
  def run_command(*command, env: {}, chdir: ServerProcess::ROOT)
    output, status = Open3.capture2e(ServerProcess.base_env.merge(env), *command, chdir:, unsetenv_others: true)
    expect(status).to be_success, "#{command.join(" ")} failed:\n#{output}"
    output
  end

  around { |example| Dir.mktmpdir("tidegate-gem") { |directory| (@directory = directory) && example.run } }

  let(:file) { "#{@directory}/tidegate.gem" }

  def build = run_command("gem", "build", "--output", file, "tidegate.gemspec")

  it "has what it takes to build and to run it, and nothing else" do
    build
    files = run_command("gem", "specification", file, "files", "--yaml").scan(/^- (.+)$/).flatten

    expect(files).to include("exe/tidegate", "lib/tidegate.rb", "lib/rackup/handler/tidegate.rb", "lib/rack/handler/tidegate.rb",
                             "ext/tidegate/extconf.rb", "ext/tidegate/Cargo.toml", "ext/core/Cargo.toml", "Cargo.toml", "Cargo.lock",
                             "LICENSE", "README.md", "CHANGELOG.md", "sig/tidegate.rbs")
    expect(files.grep(%r{\A(spec|bench|bin|tmp|target|\.)|\.so\z|/target/})).to be_empty
  end

  it "is installed from its file, and serves an app" do
    build
    home = "#{@directory}/home"
    env = {
      "GEM_HOME" => home, "GEM_PATH" => [home, *Gem.path].join(":"),
      "RB_SYS_CARGO_TARGET_DIR" => File.join(ServerProcess::ROOT, "target"), "CARGO_NET_OFFLINE" => "true"
    }
    run_command("gem", "install", "--local", "--no-document", file, env:, chdir: @directory)
    FileUtils.cp(fixture("hello.ru"), "#{@directory}/config.ru")
    command = ["#{home}/bin/tidegate", "-p", "0", "-o", "127.0.0.1", "-C", "-"]
    server = track(ServerProcess.new(command, env:, chdir: @directory)).ready

    expect(server.get("/").body).to eq("hello\n")
    expect(File.read("/proc/#{server.pid}/maps")).to include("#{home}/").and match(%r{#{home}/.*tidegate\.so})
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
  end
end
