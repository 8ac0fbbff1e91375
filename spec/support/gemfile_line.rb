# frozen_string_literal: true

# Apps as their developers have them: a directory with a Gemfile, which Bundler resolves from the gems of this machine when the
# first command is run in it.

require "open3"
require_relative "server_process"

module GemfileLine
  # The line that is the whole migration, for a gem that is not published.
  LINE = %(gem "tidegate", path: #{ServerProcess::ROOT.dump}).freeze

  # A directory with these files.
  def app_directory(**files)
    files.each { |name, text| File.write(File.join(app_root, name.to_s), text) }
    app_root
  end

  # What `rails new` makes, with LINE in the place of Puma's, and of the gem "rails" the parts that this machine has.
  def new_rails_app(*lines)
    needs "railties", "activerecord", "actioncable", "sqlite3"
    directory = File.join(app_root, "app")
    rails = Gem.path.flat_map { |path| Dir.glob("#{path}/gems/railties-7*/exe/rails") }.first or skip "without railties 7 there is no rails new"
    within(app_root, ServerProcess::RUBY.first, rails, "new", "app", "--skip-bundle", "--minimal", "--skip-git", "--skip-asset-pipeline", "--quiet")
    gemfile = File.readlines(File.join(directory, "Gemfile")).grep_v(/^\s*gem "(?:brakeman|rubocop|debug|tzinfo|rails)/)
    # A remote that the gems are not fetched from says nothing here.
    gemfile = gemfile.grep_v(/^source/).map { |line| line.start_with?('gem "puma"') ? "#{LINE}\n" : line }
    gems = %w[railties activerecord].map { |name| "gem #{name.dump}, \"~> 7.2\"\n" }
    File.write(File.join(directory, "Gemfile"), [*gemfile, *gems, *lines.map { |line| "#{line}\n" }].join)
    directory
  end

  # Runs a command to its end, and returns what it printed.
  def within(directory, *command, env: {})
    output, status = Open3.capture2e(ServerProcess.base_env.merge(bundle_env(directory), env), *command, chdir: directory, unsetenv_others: true)
    expect(status).to be_success, "#{command.join(" ")} failed:\n#{output}"
    output
  end

  # Starts a command, and waits for nothing.
  def start_within(directory, *command, env: {})
    track(ServerProcess.new(command.map(&:to_s), env: bundle_env(directory).merge(env), chdir: directory))
  end

  # A directory of the example's own.
  def app_root = @app_root ||= File.realpath(Dir.mktmpdir("tidegate-app"))

  private

  def bundle_env(directory)
    gemfile = File.join(directory, "Gemfile")
    # Bundler warns of a home that is not writable and of root, which is not what is looked at.
    { "HOME" => app_root, "BUNDLE_SILENCE_ROOT_WARNING" => "1", **(File.file?(gemfile) ? { "BUNDLE_GEMFILE" => gemfile } : {}) }
  end
end

RSpec.configure do |config|
  config.include GemfileLine, :gemfile_line
  config.after(:each, :gemfile_line) { FileUtils.rm_rf(@app_root) if @app_root }
end
