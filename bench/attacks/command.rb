# frozen_string_literal: true

require "etc"
require "optparse"
require_relative "target"
require_relative "bystander"
require_relative "slow"
require_relative "floods"

# bench/attacks/run: each attack for itself, with the server's figures before, in and after it.
module Attacks
  class Command
    # Seconds that the normal client is alone before the first attack.
    ALONE = 5

    def initialize(argv)
      @only = nil
      @connections = 1000
      @seconds = 5
      @limit = 10
      OptionParser.new do |options|
        options.banner = "bench/attacks/run [options]"
        options.on("--only WHICH", %w[slow floods]) { |which| @only = which }
        options.on("--connections COUNT", Integer, "of slowhttptest (1000)") { |count| @connections = count }
        options.on("--seconds SECONDS", Integer, "for each flood (5)") { |seconds| @seconds = seconds }
        options.on("--limit SECONDS", Integer, "what our limits are set to (10)") { |limit| @limit = limit }
        options.on("--tls", "the server speaks TLS, and so do all") { @tls = true }
        options.on("--server COMMAND", "another server, with {addr} and {app} in it") { |command| @server = command }
      end.parse!(argv)
    end

    def call
      @target = Target.new(limit: @limit, command: @server, tls: @tls)
      puts "alone: #{latency(*beside { sleep ALONE })}"
      slow unless @only == "floods"
      floods unless @only == "slow"
      told = @target.lines.grep(/WARN|ended|flood|panic/i).last(5)
      puts "the server said: #{told.join(' | ')}" unless told.empty?
      0
    ensure
      @target&.stop
    end

    private

    # What a normal client saw while the block ran.
    def beside
      bystander = Bystander.new(@target)
      yield
      bystander.results
    end

    def latency(times, failed)
      return "no answer, #{failed} failed" if times.empty?

      format("p50 %.1f ms, p99 %.1f ms, max %.0f ms of %d, %d failed", times[times.size / 2], times[(times.size * 0.99).floor], times.last, times.size, failed)
    end

    def slow
      Slow::MODES.each_key do |mode|
        before = @target.memory
        peak = most = 0
        gone = nil
        results = beside do
          began = Rig.now
          attack = Slow.start(@target, mode, connections: @connections, seconds: (3 * @limit) + 15)
          until attack.wait(within: 0.5)
            peak = [peak, @target.memory].max
            most = [most, count = @target.connections].max
            gone ||= Rig.now - began if most > @connections / 2 && count < 10
          end
          attack.stop
          # The tool ends by itself when the server has closed all that it had.
          gone ||= Rig.now - began if attack.output.grep(/No open connections left/).any?
        end
        sleep 2
        puts format("%-14s %s; up to %d connections, gone after %s; memory %.0f MB before, %.0f at most, %.0f after",
                    mode, latency(*results), most, gone ? format("%.0f s", gone) : "no time: they were there to the end", before, peak, @target.memory)
      end
    end

    def floods
      Floods::ALL.each_key do |name|
        before, cpu = @target.memory, @target.cpu
        sent = connections = nil
        peak = 0
        results = beside do
          reader, writer = IO.pipe
          pid = fork { writer.puts(Floods.flood(@target, name, @seconds).join(" ")) || exit!(0) }
          writer.close
          peak = [peak, @target.memory].max until reader.wait_readable(0.2)
          sent, connections = reader.read.split.map(&:to_i)
          Process.wait(pid)
        end
        used = @target.cpu - cpu
        megabytes = sent / 1e6
        puts format("%-38s %7.2f MB on %4d connections: %5.2f s of CPU, %6.3f s a MB; %s; memory %.0f MB, %.0f at most, %.0f after",
                    name, megabytes, connections, used, used / megabytes, latency(*results), before, peak, @target.memory)
      end
    end
  end
end
