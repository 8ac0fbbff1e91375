# frozen_string_literal: true

require "tempfile"
require_relative "../support/child"

# System calls per request, counted in a pass of its own because counting disturbs: with perf, or with strace where perf
# may not. nil where neither is here.
module Comparison
  class Syscalls
    EVENT = "raw_syscalls:sys_enter"

    # What can count on this machine: :perf, :strace or nil.
    def self.way
      return :perf if works?("perf", "stat", "-e", EVENT, "true")

      :strace if works?("strace", "-c", "-U", "calls,name", "-o", File::NULL, "true")
    end

    def self.works?(*command) = system(*command, out: File::NULL, err: File::NULL) == true

    # The count in what `perf stat -x,` says; nil if it could not count.
    def self.from_perf(text) = text[/^(\d+),[^,]*,#{EVENT}/, 1]&.to_i

    # The sum of the calls in the table of `strace -c -U calls,name`.
    def self.from_strace(text) = text[/^\s*(\d+)\s+total$/, 1]&.to_i

    def initialize(generator, way: self.class.way)
      @generator, @way = generator, way
    end

    # Per request that was answered, while those clients ask for `seconds`; `usage` is of the server.
    def count(server, usage, clients, seconds:)
      return unless @way

      calls, samples = send(@way, usage.tree) { |under| @generator.measure(server.address, clients, seconds:, under:) }
      finished = samples.values.sum(&:finished)
      calls.fdiv(finished) if calls && finished.positive?
    end

    private

    # Counts those processes for as long as its own command runs.
    def perf(pids)
      with_report do |path|
        samples = yield ["perf", "stat", "-x,", "-o", path, "-e", EVENT, "-p", pids.join(","), "--"]
        [self.class.from_perf(File.read(path)), samples]
      end
    end

    # Attached before the requests and told to leave after them.
    def strace(pids)
      with_report do |path|
        tracer = Rig::Child.new(["strace", "-c", "-U", "calls,name", "-f", "-o", path, *pids.flat_map { |pid| ["-p", pid.to_s] }], name: "strace")
        next [nil, yield([])] unless tracer.wait_for_line(/attached/, within: 10)

        samples = yield []
        tracer.stop(signal: :INT)
        [self.class.from_strace(File.read(path)), samples]
      ensure
        tracer&.stop(signal: :INT)
      end
    end

    def with_report = Tempfile.create("syscalls") { |file| yield file.path }
  end
end
