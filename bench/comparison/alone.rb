# frozen_string_literal: true

require "json"
require "open3"
require_relative "../support/interpreter"

# What the app of a workload takes without any server, measured in the same run: no server that calls it can take less.
module Comparison
  class Alone
    SCRIPT = File.expand_path("../support/alone.rb", __dir__)
    # Seconds for each kind of request: that do not count, and that do.
    TIMES = { warm: 0.3, long: 0.6 }.freeze

    # By the name of the kind of request: CPU of a call in microseconds, length in milliseconds. `answers` of all kinds; the memory of a Ruby
    # that has the app and nothing else, in MiB.
    attr_reader :cpu, :length, :answers, :pss, :peak

    # Raises Unavailable where the app cannot be called.
    def self.measure(workload, ruby: Rig::Interpreter.default)
      env = Rig.environment.merge(ruby.env, "RACK_ENV" => "production")
      output, errors, status = Open3.capture3(env, *ruby.command(SCRIPT, workload.app, *TIMES.values.map(&:to_s)), stdin_data: JSON.generate(workload.requests),
                                                                                        chdir: Rig::ROOT, unsetenv_others: true)
      raise Rig::Unavailable, "the app of #{workload.name} cannot be called alone: #{reason(errors)}" unless status.success?

      new(JSON.parse(output))
    end

    # The line with the error's name, among those of its way.
    def self.reason(errors)
      lines = errors.lines(chomp: true)
      lines.find { |line| line.match?(/\([A-Z]\w*(?:::\w+)*\)\z/) } || lines.last
    end
    private_class_method :reason

    # `data` as support/alone.rb prints it.
    def initialize(data)
      requests = data.fetch("requests")
      @cpu = requests.to_h { |request| request.values_at("name", "cpu") }
      @length = requests.to_h { |request| request.values_at("name", "length") }
      @answers = requests.map { |request| request.fetch("answer") }
      @pss, @peak = data.values_at("pss", "peak")
    end

    # The app's part of a turn's CPU, in microseconds per request.
    def cpu_of(turn)
      all = turn.samples.sum { |_, sample| sample.finished }
      all.zero? ? nil : turn.samples.sum { |name, sample| sample.finished * @cpu.fetch(name) }.fdiv(all)
    end

    def to_h = { cpu: @cpu, length: @length, pss: @pss, peak: @peak }
  end
end
