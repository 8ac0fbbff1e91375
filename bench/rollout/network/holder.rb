# frozen_string_literal: true

# The program of the process that holds a network: `ruby holder.rb DELAY`. Makes the namespaces, says "ready PODS
# CLIENTS" with their names, relays packets between them when there is a delay, and removes everything when its
# standard input ends: that happens even when the process which has the other end is killed.
require "open3"
require_relative "relay"

delay = Float(ARGV.fetch(0))
sides = delay.zero? ? %w[all] : %w[pods clients]
namespaces = sides.map { |side| "tidegate-#{Process.pid}-#{side}" }

# Hands commands to ip, for that namespace or ours; dies of the first that fails.
ip = lambda do |namespace, *commands|
  inside = namespace ? ["-netns", namespace] : []
  output, status = Open3.capture2e("ip", *inside, "-batch", "-", stdin_data: commands.join("\n"))
  abort "ip: #{output.lines(chomp: true).first}" unless status.success?
end

at_exit do
  namespaces.each do |namespace|
    pids, = Open3.capture2("ip", "netns", "pids", namespace, err: File::NULL)
    pids.split.each do |pid|
      Process.kill(:KILL, pid.to_i) # no other process is left to end it
    rescue Errno::ESRCH
      nil
    end
    system("ip", "netns", "delete", namespace, err: File::NULL)
  end
end
trap(:INT, "IGNORE") # of the terminal; our end is told by the pipe
trap(:TERM) { exit }

ip.call(nil, *namespaces.map { |namespace| "netns add #{namespace}" })
namespaces.each { |namespace| ip.call(namespace, "link set lo up") }

if delay.zero?
  puts "ready #{namespaces.first} #{namespaces.first}"
  $stdout.flush
  $stdin.read
else
  links = %w[p c].map { |end_of_it| "tg#{Process.pid}#{end_of_it}" } # unique, for they begin in our own namespace
  relay = Rollout::Relay.new(*links, delay:)
  ip.call(nil, *links.zip(namespaces).map { |link, namespace| "link set #{link} netns #{namespace} name wire" })
  # All addresses of the route are the pods' own, without any being added.
  ip.call(namespaces.first, "link set dev wire up", "route add local 10.0.1.0/24 dev lo",
          "route add 10.0.0.0/24 dev wire src 10.0.1.254")
  ip.call(namespaces.last, "address add 10.0.0.1/24 dev wire", "link set dev wire up", "route add 10.0.1.0/24 dev wire")
  puts "ready #{namespaces.join(' ')}"
  $stdout.flush
  relay.run(until_ended: $stdin)
end
