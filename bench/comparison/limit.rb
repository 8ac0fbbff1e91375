# frozen_string_literal: true

require "json"
require "tempfile"
require_relative "../support/servers"
require_relative "crate"

# What is possible without Ruby on this machine, in the same run: bench/limit, which gives the app's answers with hyper alone, or with
# Tidegate's core and Rust threads in the place of Ruby's. Built when it is first needed.
module Comparison
  LIMITS = %w[core hyper].freeze

  class Limit
    # With the gem's own target and flags, so that what both need is built once.
    TARGET = File.join(Rig::ROOT, "target")
    FLAGS = "--cfg=rb_sys_gem"
    READY = /^limit: ready on /

    def self.build(profile: "release", target: TARGET) = new(Crate.build("limit", profile:, target:, RUSTFLAGS: FLAGS))

    def initialize(program) = @program = program

    # The same for that workload, with the answers of its app.
    def for(workload, alone)
      raise Rig::Unavailable, "it is not known what the app answers" unless alone

      answers = alone.answers.map { |answer| answer.merge("sleep_ms" => workload.sleeps.fetch(answer["path"], 0)) }
      dup.tap { |limit| limit.answer_with(answers) }
    end

    # How to start "core" or "hyper". `threads` are the core's, MIN:MAX or one number; nil is Tidegate's default.
    def kind(name, threads: nil)
      Rig::Kind.new(name, [@program, name, "tcp://{host}:{port}", @answers.path, *(threads.to_s if threads && name == "core")], READY, {})
    end

    protected

    # A path may be asked with several methods, but is answered with the same here.
    def answer_with(answers)
      @answers = Tempfile.new(["answers", ".json"])
      @answers.write(JSON.generate(answers.uniq { |answer| answer["path"] }))
      @answers.close
    end
  end
end
