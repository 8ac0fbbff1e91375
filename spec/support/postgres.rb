# frozen_string_literal: true

# A PostgreSQL of the spec's own: a data directory below /tmp, a Unix socket, and no service of the system. bin/setup test installs what
# it needs on Debian.

require "etc"
require "fileutils"
require "open3"
require "tmpdir"

class Postgres
  # PostgreSQL does not run as root.
  UNPRIVILEGED = "nobody"

  # Where its programs are; nil if there are none.
  def self.programs
    [*ENV.fetch("PATH", "").split(":"), *Dir["/usr/lib/postgresql/*/bin"]].find { |path| File.executable?(File.join(path, "pg_ctl")) && File.executable?(File.join(path, "initdb")) }
  end

  def initialize
    @directory = Dir.mktmpdir("tidegate-pg")
    FileUtils.chown(UNPRIVILEGED, nil, @directory) if root?
    run("initdb", "-D", data, "-U", "spec", "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8")
    run("pg_ctl", "-D", data, "-l", log_file, "-w", "-t", "60", "-o", "-k #{@directory} -c listen_addresses='' -c fsync=off", "start")
  end

  # What a client takes as its host.
  def host = @directory

  # What the database itself has complained of.
  def log = File.read(log_file)

  def stop
    run("pg_ctl", "-D", data, "-m", "immediate", "stop")
  ensure
    FileUtils.rm_rf(@directory)
  end

  private

  def data = File.join(@directory, "data")

  def log_file = File.join(@directory, "log")

  def root? = Process.euid.zero?

  def run(program, *arguments)
    user = Etc.getpwnam(UNPRIVILEGED)
    as_user = root? ? ["setpriv", "--reuid=#{user.uid}", "--regid=#{user.gid}", "--clear-groups"] : []
    # Its output goes to a file, because the server that it starts would keep a pipe open.
    out = File.join(@directory, "out")
    ok = system(*as_user, File.join(self.class.programs, program), *arguments, out: [out, "w"], err: %i[child out], chdir: @directory)
    raise "#{program} failed: #{File.read(out)}" unless ok
  end
end
