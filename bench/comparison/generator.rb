# frozen_string_literal: true

require "json"
require_relative "../support/servers"
require_relative "crate"

# The program that sends the requests: bench/load, in Rust, built when it is first needed.
module Comparison
  # What it measured of one kind of client. Latencies in milliseconds, counted from when a request was due; `rate` is of
  # the good responses before the end, `finished` all good ones.
  Sample = Struct.new(:finished, :requests, :rate, :p50, :p90, :p99, :p999, :max, :errors, :failures, :bytes, keyword_init: true)

  class Generator
    TARGET = File.join(Rig::ROOT, "target/load")
    TIMEOUT = 10 # seconds that a request may take

    # Builds the program in the directory `target`; the specs, which measure nothing, take what `bin/test` has built of it.
    def self.build(profile: "release", target: TARGET) = new(Crate.build("load", profile:, target:))

    def initialize(program) = @program = program

    # Lets those clients ask for `seconds`; a Sample for each kind by its name. `clients` are Hashes as in the plan of
    # bench/load. With `under` the program runs as the command of another, such as perf.
    def measure(address, clients, seconds:, timeout: TIMEOUT, under: [])
      result = run([*under, @program], plan(address, clients, seconds:, timeout:), within: seconds + timeout + 20)
      JSON.parse(result).fetch("groups").transform_values { |report| Sample.new(**report.transform_keys(&:to_sym)) }
    end

    # Opens that many connections which ask once and keep still; yields when they are open. How many the server has closed
    # by the end of the block.
    def hold(address, client, count, longest: 120)
      IO.popen([@program], "r+") do |load|
        load.puts(JSON.generate(plan(address, [client], seconds: longest, timeout: TIMEOUT).merge(hold: count)))
        raise Rig::Unavailable, "#{count} connections could not be opened" unless load.gets

        yield
        load.close_write
        JSON.parse(load.gets || raise(Rig::Unavailable, "the idle connections were lost")).fetch("closed")
      end
    end

    private

    def plan(address, clients, seconds:, timeout:) = { address:, seconds:, timeout:, groups: clients }

    def run(command, plan, within:)
      IO.popen(command, "r+") do |load|
        load.puts(JSON.generate(plan))
        load.close_write
        reader = Thread.new { load.read }
        unless reader.join(within)
          Process.kill(:KILL, load.pid)
          raise Rig::Unavailable, "the load did not end in #{within} s"
        end
        reader.value.empty? ? raise(Rig::Unavailable, "the load has no result") : reader.value
      end
    end
  end
end
