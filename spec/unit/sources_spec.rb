# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"

# bin/lib/sources.sh: the copy of the sources that scripts build apart.
RSpec.describe "a copy of the sources" do
  before { skip "needs bash 4 and git" unless system("bash", "-c", "(( BASH_VERSINFO[0] >= 4 )) && command -v git >/dev/null") }

  around do |example|
    Dir.mktmpdir("tidegate-sources") do |directory|
      @from, @to = "#{directory}/from", "#{directory}/to"
      FileUtils.mkdir_p([@from, @to])
      system("git", "init", "-q", @from, exception: true)
      example.run
    end
  end

  def write(*paths) = paths.each { |path| FileUtils.mkdir_p(File.dirname(path)) && File.write(path, path) }

  def copy
    script = File.expand_path("../../bin/lib/sources.sh", __dir__)
    output, status = Open3.capture2e("bash", "-euo", "pipefail", "-c", ". #{script}; copy_sources #{@to} gems", chdir: @from)
    expect([output, status.exitstatus]).to eq(["", 0])
    Dir.glob("**/*", File::FNM_DOTMATCH, base: @to).select { |path| File.file?("#{@to}/#{path}") }.sort
  end

  it "has what git has or would take, and nothing that it ignores" do
    write("#{@from}/a.rb", "#{@from}/lib/b c.rb", "#{@from}/target/x")
    File.write("#{@from}/.gitignore", "/target\n")

    expect(copy).to eq([".gitignore", "a.rb", "lib/b c.rb"])
  end

  # A module that had become a directory was there twice in bin/with-ruby's copy, and did not compile.
  it "keeps a build, and nothing else of the copy before" do
    write("#{@from}/admin/mod.rs", "#{@to}/admin.rs", "#{@to}/target/built", "#{@to}/tmp/Makefile", "#{@to}/gems/rack")

    expect(copy).to eq(%w[admin/mod.rs gems/rack target/built tmp/Makefile])
  end
end
