# frozen_string_literal: true

require "socket"
require_relative "../rollout/network"
require_relative "../rollout/place"
require_relative "../support/servers"
require_relative "processes"

# The cluster that is put to the test: started, looked at, and ended.
module Chaos
  class Cluster
    APP = File.expand_path("app.ru", __dir__)
    ADDRESS = "127.0.0.1"

    # A drain that is over soon, so that the end of a run does not take long.
    TIMES = { "--drain-delay" => "1", "--worker-shutdown-timeout" => "20", "--shutdown-timeout" => "10" }.freeze

    attr_reader :host, :port, :workers

    # +arguments+ go to the server. +rtt+ is the seconds of a round trip to it; with 0 it is on this machine's loopback. The
    # block gets the lines of the server's output.
    def initialize(workers, arguments, rtt:, &on_line)
      @workers = workers
      @place = Rollout::Place.new(rtt.positive? ? Rollout::Network.new(delay: rtt / 2) : nil)
      @host = rtt.positive? ? @place.pod_host(1) : ADDRESS
      @port = @place.port(@host, 9292)
      command = [*inside(:pods), "ruby", "-Ilib", "exe/tidegate", "-C", "-", "-e", "production", "-b", "tcp://#{@host}:#{@port}",
                 "-w", workers.to_s, *TIMES.flatten, *arguments, APP]
      @child = Rig::Child.new(command, name: "tidegate", redirects: { chdir: Rig::ROOT, pgroup: true }, &on_line)
    end

    # Waits until all workers serve.
    def ready!
      return self if @child.wait_for_line(/^tidegate: ready on /, within: 60)

      raise Rig::Unavailable, "the cluster did not start (#{@child.outcome}): #{output.last(8).join(" | ")}"
    end

    # What to put before a command that is to run on that side, `:pods` or `:clients`.
    def inside(side) = @place.inside(side)

    def pid = @child.pid
    def output = @child.output
    def signal(name) = @child.signal(name)
    def alive? = @child.alive?

    # How many molds there are: each has a control socket, as a worker has.
    def molds = Processes.children(pid).count { |child| Processes.title(child).start_with?("tidegate: mold") }

    # The pids of the workers, also of those that boot.
    # @raise [Rig::Unavailable] if the master has gone
    def pids
      raise Rig::Unavailable, "the master has ended: #{@child.outcome}" unless Processes.alive?(pid)

      Processes.children(pid).select { |child| Processes.title(child).start_with?("tidegate: worker") }
    end

    # The pids of the workers that serve.
    def serving = pids.reject { |child| Processes.title(child).include?("booting") }

    # Waits until as many workers serve as there are to be, and there are no others. Returns their pids.
    def complete(within: 60, except: [])
      await("#{@workers} workers, of which all serve", within:) do
        now = serving
        now if now.size == @workers && pids.sort == now.sort && (now & except).empty?
      end
    end

    # Processes that are neither the master nor its children.
    def orphans = Processes.group(pid) - [pid] - Processes.children(pid)

    # Sends what it is given on so many connections at a time, says so, and then prints all that comes.
    ASK = <<~RUBY
      host, port, request, count = ARGV
      sockets = Array.new(count.to_i) { TCPSocket.new(host, port).tap { |socket| socket.write(request) } }
      $stdout.sync = true
      puts "sent"
      sockets.each { |socket| puts socket.read rescue puts "failed" }
    RUBY

    # Asks the app for something so many times at once, outside of the load. Yields when that was sent, and returns the answers.
    def get(path, count: 1)
      request = "GET #{path} HTTP/1.1\r\nhost: chaos\r\nconnection: close\r\n\r\n"
      IO.popen([*inside(:clients), RbConfig.ruby, "--disable-gems", "-rsocket", "-e", ASK, @host, @port.to_s, request, count.to_s]) do |client|
        yield if client.gets && block_given?
        client.read
      end
    end

    # Waits for what the block returns.
    # @raise [Rig::Unavailable]
    def await(what, within:)
      limit = Rig.now + within
      until (value = yield)
        raise Rig::Unavailable, "waited #{within} s in vain for #{what}" if Rig.now > limit

        sleep 0.02 # the kernel has no event for it
      end
      value
    end

    # Waits for the end of the master after a signal; the outcome in words.
    def stop(signal = :TERM, within: 40)
      @child.stop(signal:, within:)
      @child.outcome
    end

    def tear_down
      stop(:KILL)
      Processes.group(pid).each { |left| Process.kill(:KILL, left) }
    rescue Errno::ESRCH
      nil
    ensure
      @place.stop
    end
  end
end
