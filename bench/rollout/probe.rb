# frozen_string_literal: true

require "rbconfig"
require "socket"
require_relative "../support/child"

# The kubelet's HTTP probe: one GET on a connection of its own, and the status it got.
module Rollout
  module Probe
    # The status, or nil when there was none within that time.
    def self.get(host, port, path, within:)
      limit = Rig.now + within
      Socket.tcp(host, port, connect_timeout: within) do |socket|
        socket.write("GET #{path} HTTP/1.1\r\nhost: #{host}\r\nuser-agent: kube-probe/1.36\r\nconnection: close\r\n\r\n")
        head = +""
        while head.bytesize < 12
          left = limit - Rig.now
          return unless left.positive? && socket.wait_readable(left)

          head << (socket.read_nonblock(512, exception: false).then { |bytes| bytes == :wait_readable ? "" : bytes or return })
        end
        head[%r{\AHTTP/1\.[01] (\d{3})}, 1]&.to_i
      end
    rescue SystemCallError
      nil
    end

    # Whether a connection is taken within that time.
    def self.accepts?(host, port, within:)
      Socket.tcp(host, port, connect_timeout: within) { true }
    rescue SystemCallError
      false
    end

    # Nothing of it has to be stopped.
    def self.stop = nil
  end

  # The same from inside a network namespace, where a process of its own asks.
  class ProbeProcess
    PROGRAM = File.expand_path("probe_process.rb", __dir__)

    def initialize(inside:)
      ours, theirs = UNIXSocket.pair
      @mutex = Mutex.new
      @socket = ours
      @child = Rig::Child.new([*inside, RbConfig.ruby, PROGRAM], name: "probe", redirects: { in: theirs, 3 => theirs })
      theirs.close
    end

    def get(host, port, path, within:) = ask("get", host, port, path, within)&.to_i

    def accepts?(host, port, within:) = !ask("accepts", host, port, "-", within).nil?

    def stop
      @socket.close
      @child.stop
    end

    private

    def ask(*words)
      @mutex.synchronize do
        @socket.puts(words.join(" "))
        answer = @socket.gets(chomp: true) or raise Rig::Unavailable, "the probe failed: #{@child.output.last}"
        answer unless answer == "-"
      end
    end
  end
end
