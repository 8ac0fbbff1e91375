# frozen_string_literal: true

# Starts HAProxy on an address and a server behind it on a Unix socket: `ruby behind_haproxy.rb tcp://HOST:PORT COMMAND...`, where
# {bind} in the command is that socket. With ssl://HOST:PORT?cert=FILE&key=FILE HAProxy ends the encryption. All are children of this
# process, which ends them when it is told to end.

require "fileutils"
require "socket"
require "tmpdir"
require_relative "../rollout/programs"
require_relative "haproxy"

bind, *command = ARGV
match = %r{\A(?<scheme>tcp|ssl)://(?<host>[^?]+):(?<port>\d+)(?:\?(?<query>.*))?\z}.match(bind) or abort "behind_haproxy: #{bind} is no address"
directory = Dir.mktmpdir("haproxy")
inner = File.join(directory, "server.sock")

options = ""
if match[:scheme] == "ssl"
  files = match[:query].split("&").to_h { |pair| pair.split("=", 2) }
  both = File.join(directory, "both.pem")
  File.write(both, File.read(files.fetch("cert")) + File.read(files.fetch("key")))
  options = "ssl crt #{both} alpn http/1.1"
end

front = TCPServer.new(match[:host], Integer(match[:port]))
front.listen(1024)
configuration = File.join(directory, "haproxy.cfg")
File.write(configuration, Rig::HAProxy.configuration(front: front.fileno, server: "unix@#{inner}", options:))

children = [
  Process.spawn(Rollout::Programs.find("haproxy"), "-db", "-q", "-f", configuration, front => front),
  Process.spawn(*command.map { |word| word.gsub("{bind}", "unix://#{inner}") })
]
front.close
%w[INT TERM].each { |name| Signal.trap(name) { exit } }
at_exit do
  children.each { |pid| Process.kill(:TERM, pid) rescue nil } # rubocop:disable Style/RescueModifier
  children.each { |pid| Process.wait(pid) rescue nil } # rubocop:disable Style/RescueModifier
  FileUtils.rm_rf(directory)
end
children.delete(Process.wait)
