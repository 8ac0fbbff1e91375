# frozen_string_literal: true

# For specs that drive the apps in examples/: which gems they need, and the database of one run.

require "tmpdir"

module Frameworks
  EXAMPLES = File.expand_path("../../examples", __dir__)

  # Skips the example where one of these gems is missing, or one that they depend on; bin/setup test installs them all on Debian.
  def needs(*gems)
    missing = gems.flat_map { |name| MISSING[name] }.uniq
    skip "without #{missing.join(" and ")} there is nothing to run" if missing.any?
  end

  # What of a gem is missing: itself, or what it depends on. Under Bundler only the gems of the Gemfile are known by name;
  # those of the system are all the same there for an app that is started without it, so their files are looked for.
  MISSING = Hash.new { |missing, name| missing[name] = Frameworks.missing(name) }

  def self.missing(name, known = {})
    return [] if known[name]

    known[name] = true
    file = Gem.path.lazy.flat_map { |path| Dir.glob(File.join(path, "specifications/{,default/}#{name}-[0-9]*.gemspec")) }.first
    return [name] unless file

    Gem::Specification.load(file).runtime_dependencies.flat_map { |dependency| missing(dependency.name, known) }
  end

  # Action Cable has told these clients of a server that drains to come back, and closes them in order; the server ends, with none left.
  def expect_sent_away(sockets, server)
    sockets.each do |socket|
      expect(socket.message).to eq({ "type" => "disconnect", "reason" => "server_restart", "reconnect" => true })
      expect(socket.message).to be_close
      expect(socket.answer_close).to be(true)
    end
    expect(server.exit_status).to eq(0)
    expect(server.output).to include("hijacked=0")
  end

  # Starts the example with a database of its own.
  def serve_rails(*arguments, env: {}, **)
    needs "railties", "activerecord", "actioncable", "sqlite3"
    @directory ||= Dir.mktmpdir("tidegate")
    start("-o", "127.0.0.1", "-p", 0, *arguments, "config.ru", chdir: File.join(EXAMPLES, "rails"),
          env: { "RAILS_ENV" => "production", "DATABASE" => File.join(@directory, "notes.sqlite3"), **env }, **).ready
  end

  # Starts the example with `rails server` and these arguments, and waits for nothing.
  def rails_server(*arguments, env: {})
    needs "railties", "activerecord", "actioncable", "sqlite3"
    @directory ||= Dir.mktmpdir("tidegate")
    track(ServerProcess.new([*ServerProcess::RUBY, "bin/rails", "server", "-b", "127.0.0.1", "-e", "production",
                             "-P", "#{@directory}/server.pid", *arguments.map(&:to_s)],
                            env: { "DATABASE" => "#{@directory}/notes.sqlite3", **env }, chdir: File.join(EXAMPLES, "rails")))
  end

  def clean_up = @directory && FileUtils.rm_rf(@directory)
end

RSpec.configure do |config|
  config.include Frameworks, :frameworks
  config.after(:each, :frameworks) { clean_up }
end
