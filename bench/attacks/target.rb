# frozen_string_literal: true

require "openssl"
require "socket"
require_relative "../support/certificate"
require_relative "../support/servers"

# The server that is attacked, with what the kernel says about its process.
module Attacks
  class Target
    TICKS = Etc.sysconf(Etc::SC_CLK_TCK).to_f
    APP = File.join(__dir__, "app.ru")

    attr_reader :host, :port

    # +limit+: seconds that each of our limits is set to. +command+: another server, with {addr} and {app} in it. With +tls+ ours
    # speaks TLS alone.
    def initialize(limit:, command: nil, tls: false)
      @certificate = Rig::Certificate.new if tls
      @host = "127.0.0.1"
      @port = Addrinfo.tcp(@host, 0).bind { |socket| socket.local_address.ip_port }
      argv = command ? Shellwords.split(command.gsub("{addr}", "#{host}:#{port}").gsub("{app}", APP)) : ours(limit)
      @child = Rig::Child.new(argv, name: "the server", redirects: { chdir: Rig::ROOT }) { |line| (@lines ||= []) << line }
      await
    end

    def ours(limit)
      bind = @certificate ? @certificate.bind("#{host}:#{port}") : "tcp://#{host}:#{port}"
      timeouts = %w[first-data-timeout head-timeout body-timeout write-timeout persistent-timeout handshake-timeout min-data-rate-grace]
      [RbConfig.ruby, "-I", File.join(Rig::ROOT, "lib"), File.join(Rig::ROOT, "exe/tidegate"), "-b", bind, "-C", "-",
       *timeouts.flat_map { |name| ["--#{name}", limit.to_s] }, APP]
    end

    # Warnings that the server has logged.
    def lines = @lines || []

    # Seconds of CPU so far.
    def cpu = File.read("/proc/#{@child.pid}/stat").rpartition(") ").last.split.values_at(11, 12).sum(&:to_i) / TICKS

    # MB that are resident.
    def memory = File.read("/proc/#{@child.pid}/status")[/^VmRSS:\s+(\d+)/, 1].to_i / 1024.0

    # Connections that are established with the server's port, as its process has them.
    def connections
      hex = format("%04X", port)
      File.foreach("/proc/net/tcp").count { |line| (fields = line.split)[1]&.end_with?(":#{hex}") && fields[3] == "01" }
    end

    def url = "#{@certificate ? "https" : "http"}://#{host}:#{port}"

    # A connection, encrypted where the target is; +protocol+ is then what ALPN asks for.
    def connect(protocol = "http/1.1")
      socket = TCPSocket.new(host, port)
      @certificate ? encrypt(socket, protocol) : socket
    end

    def stop
      @child.stop(within: 20)
      @certificate&.remove
    end

    private

    def encrypt(socket, protocol)
      context = OpenSSL::SSL::SSLContext.new
      context.verify_mode = OpenSSL::SSL::VERIFY_NONE
      context.alpn_protocols = [protocol]
      OpenSSL::SSL::SSLSocket.new(socket, context).tap { |it| it.sync_close = true }.connect
    rescue OpenSSL::SSL::SSLError => error
      socket.close
      raise IOError, error.message
    end

    def await
      limit = Rig.now + 30
      begin
        TCPSocket.new(host, port).close
      rescue SystemCallError
        raise Rig::Unavailable, "the server did not start: #{lines.last(5).join(' | ')}" if Rig.now > limit || @child.wait(within: 0.05)

        retry
      end
    end
  end
end
