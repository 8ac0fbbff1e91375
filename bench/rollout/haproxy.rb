# frozen_string_literal: true

require "socket"
require "tmpdir"
require "fileutils"
require_relative "../support/child"
require_relative "programs"

# A data plane: HAProxy, which repeats nothing unless told to. Pods come and go through its runtime socket, when the
# endpoint controller says so; or, with `probe`, they go when its own health check of them fails, as behind an AWS ALB.
#
# A data plane answers to `address`, `route(pod)`, `unroute(pod)`, `forget(pod)`, `counters` and `stop`.
module Rollout
  class HAProxy
    SLOTS = 16

    attr_reader :address

    # `retries` to connect, the last of them to another pod; `probe`: the path and a block from pod to port of the health check. With a
    # `certificate` clients encrypt, and so does haproxy towards the pods.
    def initialize(place:, retries: 0, probe: nil, certificate: nil, &probe_port)
      program = Programs.find("haproxy")
      @retries, @probe, @probe_port, @certificate = retries, probe, probe_port, certificate
      @dir = Dir.mktmpdir("rollout")
      @runtime = File.join(@dir, "runtime.sock")
      @slots = {}
      start(program, place)
      tell("show version")
    rescue StandardError
      stop
      raise
    end

    # From now on new requests may go to that pod.
    def route(pod)
      return state(pod, "ready") if @slots.key?(pod)

      slot = (1..SLOTS).find { |n| !@slots.value?(n) } or raise Rig::Unavailable, "all #{SLOTS} slots of haproxy are taken"
      @slots[pod] = slot
      tell("set server pods/s#{slot} addr #{pod.host} port #{pod.port}")
      tell("set server pods/s#{slot} check-port #{@probe_port.call(pod)}") if @probe
      state(pod, "ready")
    end

    # From now on no new request goes to that pod; what is in flight goes on. With a probe, that is the probe's business.
    def unroute(pod)
      state(pod, "drain") unless @probe
    end

    # The pod is gone, its slot is free.
    def forget(pod)
      return unless @slots.key?(pod)

      state(pod, "maint")
      @slots.delete(pod)
    end

    # What haproxy itself counted: errors to connect, errors in the answer, 5xx it sent or passed on.
    def counters
      names, *rows = tell("show stat").lines(chomp: true).map { |line| line.delete_prefix("# ").split(",", -1) }
      backend = rows.map { |row| names.zip(row).to_h }.find { |row| row["pxname"] == "pods" && row["svname"] == "BACKEND" }
      { requests: backend["req_tot"].to_i, connect_errors: backend["econ"].to_i, response_errors: backend["eresp"].to_i,
        retries: backend["wretr"].to_i, redispatches: backend["wredis"].to_i, status_5xx: backend["hrsp_5xx"].to_i }
    end

    def stop
      @child&.stop(within: 2)
      FileUtils.rm_rf(@dir)
    end

    private

    # Here its sockets are inherited: no port to race for, no start to wait for. A network of our own has its own ports.
    def start(program, place)
      sockets = [UNIXServer.new(@runtime)]
      sockets << TCPServer.new(place.client_host, 0) unless place.apart?
      runtime, front = sockets
      @address = [place.client_host, front ? front.local_address.ip_port : 8000]
      config = File.join(@dir, "haproxy.cfg")
      File.write(config, configuration(front ? "fd@#{front.fileno}" : @address.join(":"), runtime.fileno))
      @child = Rig::Child.new([*place.inside(:clients), program, "-db", "-f", config],
                              name: "haproxy", redirects: sockets.to_h { |socket| [socket, socket] })
    ensure
      sockets&.each(&:close)
    end

    # The probe is the admin listener's, which is not encrypted.
    def encrypted = (" ssl verify none no-check-ssl" if @certificate)

    def state(pod, state) = tell("set server pods/s#{@slots.fetch(pod)} state #{state}")

    def tell(command)
      UNIXSocket.open(@runtime) do |socket|
        socket.write("#{command}\n")
        raise Rig::Unavailable, "haproxy does not answer (#{@child.outcome}): #{@child.output.last}" unless socket.wait_readable(5)

        socket.read.tap { |answer| check(answer) }
      end
    end

    def check(answer)
      return if answer.start_with?("#") || !answer.match?(/unknown command|no such|invalid/i)

      raise Rig::Unavailable, "haproxy: #{answer.strip}"
    end

    def configuration(front, runtime)
      servers = (1..SLOTS).map { |n| "  server s#{n} 127.0.0.1:1 disabled#{encrypted}#{' check inter 1s fall 2 rise 1' if @probe}" }.join("\n")
      <<~CONFIG
        global
          stats socket fd@#{runtime} level admin
          maxconn 2000
          nbthread 1
        defaults
          mode http
          retries #{@retries}
          #{'no ' if @retries.zero?}option redispatch
          timeout connect 2s
          timeout client 30s
          timeout server 10s
          timeout http-keep-alive 30s
        frontend clients
          bind #{front}#{" ssl crt #{@certificate.both}" if @certificate}
          default_backend pods
        backend pods
          balance roundrobin
          #{"option httpchk GET #{@probe}" if @probe}
      CONFIG
        .concat(servers, "\n")
    end
  end
end
