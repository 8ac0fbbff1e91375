# frozen_string_literal: true

require_relative "chart"
require_relative "comparison"
require_relative "kubernetes/command"
require_relative "progress"
require_relative "report"
require_relative "run"
require_relative "shots"

# The command bin/rollout: one run with its progress and its report, the table of many, single shots, or the list of
# what there is.
module Rollout
  class Command
    TICK = 60

    def initialize(argv)
      @argv = argv
    end

    # The exit status.
    def call
      case @argv.first
      when "table" then table(@argv.drop(1))
      when "shots" then Shots::Command.new(@argv.drop(1)).call
      when "--list" then list
      else @argv.any? { |word| word.start_with?("--kubernetes") } ? Kubernetes::Command.new(@argv).call : one
      end
    rescue OptionParser::ParseError, Rig::Unavailable => error
      warn "rollout: #{error.message}"
      2
    rescue Interrupt
      130
    end

    private

    def one
      settings = Settings.parse(@argv)
      progress = Progress.new(settings.quiet ? File.open(File::NULL, "w") : $stderr)
      run = Run.new(settings) { |sentence| progress.say(sentence) unless settings.loop }
      progress.tally = run.tally
      result = progress.during { ticking(progress, run, settings) { run.call } }
      File.write(settings.svg, Chart.new(result).to_svg) if settings.svg
      report = Report.new(result)
      puts settings.json ? report.to_json : report.to_s
      result.passed? ? 0 : 1
    end

    # A long run without a terminal says once a minute how it goes, and what has failed since.
    def ticking(progress, run, settings)
      return yield unless settings.loop && !$stderr.tty?

      over = Queue.new
      ticker = Thread.new { progress.tick(run) until over.pop(timeout: TICK) }
      yield
    ensure
      over << true if over
      ticker&.join
    end

    def table(argv)
      comparison = Comparison.parse(argv) { |line| warn line }
      comparison.call
      puts comparison.json? ? comparison.to_json : comparison.to_s
      comparison.as_expected? ? 0 : 1
    end

    def list
      puts "data planes", *described(DataPlanes::NAMES), "", "scenarios", *described(Scenario::NAMES), "", "presets",
           *described(Presets::ALL.to_h { |preset| [preset.name, "#{preset.about}; control: #{preset.control_about}"] })
      0
    end

    def described(names) = names.map { |name, words| format("  %-16s %s", name, words) }
  end
end
