# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"

# bin/matrix itself, with stand-ins for Rubies and for the scripts that run specs on them.
RSpec.describe "bin/matrix" do
  before { skip "needs bash 4" unless system("bash", "-c", "(( BASH_VERSINFO[0] >= 4 ))") }

  around do |example|
    Dir.mktmpdir("tidegate-matrix") do |directory|
      @root = directory
      FileUtils.mkdir_p("#{directory}/bin/lib")
      FileUtils.cp(File.expand_path("../../bin/matrix", __dir__), "#{directory}/bin")
      FileUtils.cp(File.expand_path("../../bin/lib/native_gem.rb", __dir__), "#{directory}/bin/lib")
      example.run
    end
  end

  def script(path, text)
    file = File.join(@root, path)
    FileUtils.mkdir_p(File.dirname(file))
    File.write(file, "#!/bin/sh\n#{text}\n")
    File.chmod(0o755, file)
  end

  # A Ruby of which nothing is asked but its version.
  def ruby(path, version, features = "+PRISM")
    script(path, "if [ \"$1\" = --version ]; then echo 'ruby #{version} (2026-01-01) #{features} [x86_64-linux]'; else printf #{version}; fi")
  end

  # What stands for bin/test: it says which specs it was told to run, and what came of them.
  def test_says(totals, status: 0) = script("bin/test", "echo \"asked: $*\"; echo #{totals}; exit #{status}")

  def matrix(*arguments, rubies: nil)
    env = { "HOME" => @root, "XDG_CACHE_HOME" => "#{@root}/cache", "RUBIES" => rubies, "PATH" => "#{@root}/path:#{ENV.fetch("PATH")}",
            "RBENV_ROOT" => nil, "ASDF_DATA_DIR" => nil, "MISE_DATA_DIR" => nil, "RUBYOPT" => nil }
    output, status = Open3.capture2e(env, "bash", "bin/matrix", *arguments, chdir: @root)
    [output, status.exitstatus]
  end

  before do
    # As it is asked for the first two parts of its version, that is all it says.
    script("path/ruby", "if [ \"$1\" = --version ]; then echo 'ruby 3.3.8 (2025-04-09) [x86_64-linux]'; else printf 3.3; fi")
    test_says("20 examples, 0 failures, 1 pending")
    ruby(".rubies/3.2.2/bin/ruby", "3.2.2")
    ruby(".rubies/ruby-3.2.11/bin/ruby", "3.2.11", "+YJIT")
    script("bin/with-ruby", <<~'SH')
      "$1" --version
      shift
      echo "asked: $*"
      echo "20 examples, 0 failures, 3 pending"
    SH
    script("bin/debian-ruby", <<~'SH')
      [ "$1" = 3.4 ] || { echo "debian-ruby: left out: neither forky nor experimental has Ruby $1" >&2; exit 3; }
      echo "debian-ruby: ruby 3.4.1 (2025-01-01) +PRISM [x86_64-linux-gnu], Rails 7.2.4"
      shift
      echo "asked: $*"
      echo "20 examples, 0 failures, 2 pending"
    SH
  end

  it "runs all specs on each Ruby: the one in use, the newest of a manager of versions, or one from Debian" do
    output, status = matrix(rubies: "3.2 3.3 3.4")

    expect(output).to match(/^matrix: Ruby 3.2: 3.2.11 with YJIT: 20 examples, 0 failures, 3 pending; .*3.2.txt \(status 0, \d+ s\)$/)
    expect(output).to match(/^matrix: Ruby 3.3: 3.3.8: 20 examples, 0 failures, 1 pending; /)
    expect(output).to match(/^matrix: Ruby 3.4: 3.4.1: 20 examples, 0 failures, 2 pending; /)
    expect(output.scan(/^asked: (.*)$/)).to eq([["spec"]] * 3)
    expect(status).to eq(0)
  end

  it "ends with 3 where a Ruby can't be had and all else is well" do
    output, status = matrix("spec/http")

    expect(output).to match(/^matrix: Ruby 4.0: left out: neither forky nor experimental has Ruby 4.0 \(status 3, /)
    expect(output.scan(/^asked: (.*)$/)).to eq([["spec/http"]] * 3)
    expect(status).to eq(3)
  end

  it "runs on the others where specs fail on one, and ends with 1" do
    script("bin/with-ruby", "echo 'no such gem'; exit 2")
    test_says("20 examples, 1 failure", status: 1)
    output, status = matrix

    expect(output).to include("matrix: Ruby 3.2: no Ruby: failed before a spec ran; ", "matrix: Ruby 3.3: 3.3.8: 20 examples, 1 failure; ",
                              "matrix: Ruby 3.4: 3.4.1: 20 examples, 0 failures, 2 pending; ", "matrix: Ruby 4.0: left out: ")
    expect(File.read("#{@root}/cache/tidegate/matrix/3.3.txt")).to include("20 examples, 1 failure")
    expect(status).to eq(1)
  end

  it "turns YJIT on" do
    script("bin/test", "echo \"YJIT $RUBY_YJIT_ENABLE\"")
    expect(matrix(rubies: "3.3").first).to include("YJIT 1")
  end
end
