# frozen_string_literal: true

require "json"

RSpec.describe Tidegate::Control::Answerer do
  # Hands out the questions that the spec has pushed, and keeps the answers.
  let(:native) do
    Class.new do
      attr_reader :questions, :answers

      def initialize
        @questions = Queue.new
        @answers = Queue.new
      end

      def next_question = @questions.pop
      def answer(*answer) = @answers << answer
    end.new
  end
  let(:errors) { Lines.new("the log") }
  let(:log) { Tidegate::Log.new(err: errors) }

  def reply(name, &steering) = described_class.new(native, log, &(steering || ->(_) {})).reply(name)

  it "answers one question after another, until there are no more" do
    answerer = described_class.new(native, log) { |name| [true, "did #{name}"] }.start
    native.questions << [1, "restart"] << [2, "gc-stats"]
    expect(Patience.pop(native.answers)).to eq([1, :done, '{"status":"ok","message":"did restart"}'])
    expect(JSON.parse(Patience.pop(native.answers)[2])).to include("count" => an_instance_of(Integer))
    native.questions.close
    answerer.finish
    expect(Thread.list.map(&:name)).not_to include("tidegate control")
  end

  it "tells what each thread is doing" do
    thread = Thread.new { sleep }.tap { |it| it.name = "sleeper \xFF" }
    Patience.until_true("it to sleep") { thread.stop? }
    threads = JSON.parse(reply("thread-backtraces").last)
    expect(threads).to include(a_hash_including("name" => "main", "backtrace" => include(/answerer_spec/)),
                               a_hash_including("name" => "sleeper \\xff", "status" => "sleep"))
  ensure
    thread.kill
  end

  it "runs the collector" do
    before = GC.count
    expect(reply("gc")).to eq([:done, '{"status":"ok"}'])
    expect(GC.count).to be > before
  end

  it "tells apart what was done, what failed, and what there is not" do
    expect(reply("refork") { [true, nil] }).to eq([:done, '{"status":"ok"}'])
    expect(reply("refork") { [false, "it boots"] }).to eq([:failed, "it boots"])
    expect(reply("refork") { nil }).to eq([:unavailable, ""])
    expect(reply("refork") { raise "no" }).to eq([:failed, "refork failed: RuntimeError: no"])
    expect(errors.to_s).to start_with("tidegate: the command refork failed: RuntimeError: no\n")
  end

  it "ends with the server although a command is stuck" do
    answerer = described_class.new(native, log) { |_| sleep }.start
    native.questions << [1, "restart"]
    Patience.until_true("it to be taken") { native.questions.num_waiting.zero? && native.questions.empty? }
    answerer.finish
    Patience.until_true("the thread to end") { Thread.list.none? { |thread| thread.name == "tidegate control" } }
  end
end

RSpec.describe Tidegate::Control::Settings do
  def settings(**options) = JSON.parse(described_class.json(Tidegate::Configuration.embedded(options))).to_h { |entry| [entry["name"], entry] }

  it "has every option with its value and where it was made" do
    shown = settings(port: 0, max_queue: 5, admin_token: "0123456789abcdef", lowlevel_error_handler: ->(_) {})
    expect(shown.keys).to match_array(Tidegate::Configuration::OPTIONS.each_value.reject(&:stands_for).map { |option| option.name.to_s })
    expect(shown["max_queue"]).to include("value" => "5", "origin" => "Tidegate::Server", "group" => "Threads")
    expect(shown["head_timeout"]).to include("value" => "30", "origin" => nil)
    expect(shown["bind"]).to include("value" => %r{\Atcp://.*:0\z}, "origin" => "host and port")
    expect(shown["lowlevel_error_handler"]).to include("value" => "(code)")
  end

  it "never has a secret" do
    expect(settings(admin_token: "0123456789abcdef")["admin_token"]).to include("value" => "(secret)")
    expect(described_class.json(Tidegate::Configuration.embedded({ admin_token: "0123456789abcdef" }))).not_to include("0123456789")
    expect(settings["admin_token"]).to include("value" => "none")
  end
end
