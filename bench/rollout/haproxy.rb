# frozen_string_literal: true

require "socket"
require "tmpdir"
require "fileutils"
require_relative "../support/child"
require_relative "../support/servers"

# A data plane: HAProxy that neither retries nor looks after its servers' health. Pods come and go only
# through its runtime socket, when the endpoint controller says so.
#
# A data plane answers to `address`, `route(pod)`, `unroute(pod)`, `counters` and `stop`.
module Rollout
  class HAProxy
    SLOTS = 8

    def self.program
      dirs = ENV["PATH"].split(":") + %w[/usr/sbin /usr/local/sbin]
      dirs.map { |dir| File.join(dir, "haproxy") }.find { |path| File.executable?(path) }
    end

    attr_reader :address

    def initialize(host: "127.0.0.1")
      program = self.class.program or raise Rig::Missing, "haproxy is not here: bin/setup test"
      @dir = Dir.mktmpdir("rollout")
      @runtime = File.join(@dir, "runtime.sock")
      @slots = {}
      front, runtime = TCPServer.new(host, 0), UNIXServer.new(@runtime) # inherited: no port to race for, no start to wait for
      @address = [host, front.local_address.ip_port]
      config = File.join(@dir, "haproxy.cfg")
      File.write(config, configuration(front.fileno, runtime.fileno))
      @child = Rig::Child.new([program, "-db", "-f", config], name: "haproxy", redirects: { front => front, runtime => runtime })
      [front, runtime].each(&:close)
      tell("show version")
    end

    # From now on new requests may go to that pod.
    def route(pod)
      slot = (1..SLOTS).find { |n| !@slots.value?(n) } or raise Rig::Unavailable, "all #{SLOTS} slots of haproxy are taken"
      @slots[pod] = slot
      tell("set server pods/s#{slot} addr #{pod.host} port #{pod.port}")
      tell("set server pods/s#{slot} state ready")
    end

    # From now on no new request goes to that pod; what is in flight goes on.
    def unroute(pod)
      tell("set server pods/s#{@slots.fetch(pod)} state drain")
    end

    # The pod is gone, its slot is free.
    def forget(pod)
      slot = @slots.delete(pod) or return
      tell("set server pods/s#{slot} state maint")
    end

    # What haproxy itself counted: errors to connect, errors in the answer, 5xx it sent or passed on.
    def counters
      names, *rows = tell("show stat").lines(chomp: true).map { |line| line.delete_prefix("# ").split(",", -1) }
      backend = rows.map { |row| names.zip(row).to_h }.find { |row| row["pxname"] == "pods" && row["svname"] == "BACKEND" }
      { requests: backend["req_tot"].to_i, connect_errors: backend["econ"].to_i, response_errors: backend["eresp"].to_i,
        retries: backend["wretr"].to_i, redispatches: backend["wredis"].to_i, status_5xx: backend["hrsp_5xx"].to_i }
    end

    def stop
      @child.stop(within: 2)
      FileUtils.rm_rf(@dir)
    end

    private

    def tell(command)
      UNIXSocket.open(@runtime) do |socket|
        socket.write("#{command}\n")
        raise Rig::Unavailable, "haproxy does not answer (#{@child.outcome}): #{@child.output.last}" unless socket.wait_readable(5)

        answer = socket.read
        raise Rig::Unavailable, "haproxy: #{answer.strip}" if !answer.start_with?("#") && answer.match?(/unknown command|no such|invalid/i)

        answer
      end
    end

    def configuration(front, runtime)
      servers = (1..SLOTS).map { |n| "  server s#{n} 127.0.0.1:1 disabled" }.join("\n")
      <<~CONFIG
        global
          stats socket fd@#{runtime} level admin
          maxconn 2000
          nbthread 1
        defaults
          mode http
          retries 0
          no option redispatch
          timeout connect 2s
          timeout client 30s
          timeout server 10s
          timeout http-keep-alive 30s
        frontend clients
          bind fd@#{front}
          default_backend pods
        backend pods
          balance roundrobin
      CONFIG
        .concat(servers, "\n")
    end
  end
end
