# frozen_string_literal: true

RSpec.describe Tidegate::ErrorReport do
  def raised
    yield
  rescue Exception => error # rubocop:disable Lint/RescueException -- any is reported
    error
  end

  def report(error = nil, &) = described_class.new(error || raised(&))

  it "says class and message, and below it where it came from" do
    text = report { raise ArgumentError, "two\nlines" }.to_s

    expect(text).to match(/\AArgumentError: two\nlines\n  .*error_report_spec\.rb:\d+:in /)
  end

  it "says what had caused it" do
    error = raised do
      raise KeyError, "first"
    rescue KeyError
      raise IOError, "second"
    end

    expect(report(error).lines.join).to match(/^  caused by KeyError: first\n  .*error_report_spec/)
    expect(report(error).to_h).to include(exception: "IOError", causes: [a_hash_including(message: "KeyError: first")])
  end

  it "ends where causes go round in a circle, or go on and on" do
    circle = StandardError.new("round")
    circle.define_singleton_method(:cause) { self }
    endless = Class.new(StandardError) { def cause = self.class.new("deeper") }

    expect(report(circle).causes).to be_empty
    expect(report(endless.new("deep")).causes.size).to eq(5)
  end

  it "shows the levels that matter of a stack that has overflowed" do
    deep = ->(again) { again.call(again) }
    lines = report { deep.call(deep) }.lines

    expect(lines.size).to eq(101)
    expect(lines.last).to match(/\A  \.\.\. \(\d+ levels more\)\n\z/)
  end

  it "takes whatever the app has made of its exceptions" do
    types = {
      message: [-> { raise "no message" }, -> {}, -> { 42 }, -> { throw :nothing }],
      backtrace: [-> { raise "none" }, -> {}, -> { "text" }, -> { [1, nil, "one"] }],
      cause: [-> { raise "none" }, -> { 42 }],
      class: [-> { raise "no class" }]
    }
    types.each do |name, answers|
      answers.each do |answer|
        error = StandardError.new("message")
        error.define_singleton_method(name, &answer)

        expect(report(error).to_s).to start_with("StandardError: ")
        expect(report(error).to_h).to include(exception: "StandardError")
      end
    end
    expect(described_class.new(nil).to_s).to start_with("an error: ")
  end

  it "names a class that has no name, or lies about it" do
    lying = Class.new(StandardError) { def self.name = "Other\nLine" }

    expect(report(lying.new).name).to match(/\A#<Class:0x\h+>\z/)
  end
end
