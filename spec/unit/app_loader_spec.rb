# frozen_string_literal: true

require "tmpdir"

RSpec.describe Tidegate::AppLoader do
  around { |example| Dir.mktmpdir { |directory| Dir.chdir(directory) { example.run } } }

  def load(text, name = "config.ru")
    File.write(name, text)
    described_class.new(name).load
  end

  it "loads the app of a rackup file" do
    expect(load("run ->(env) { [200, {}, [env.fetch('x')]] }").call({ "x" => "y" })).to eq [200, {}, ["y"]]
  end

  it "takes the app from what Rack 2 returns" do
    app = ->(_env) { :called }
    allow(Rack::Builder).to receive(:parse_file).and_return([app, { Port: 1 }])
    expect(load("").call({})).to eq :called
  end

  it "loads a Ruby file that defines the app, as rackup does" do
    expect(load("class TidegateSpecApp; def self.call(_env) = :called; end", "tidegate_spec_app.rb").call({})).to eq :called
  end

  {
    "\n\nraise 'boom'" => "config.ru cannot be loaded: config.ru:3: boom (RuntimeError)",
    "require 'no/such/file'" => "config.ru cannot be loaded: config.ru:1: cannot load such file -- no/such/file (LoadError)",
    "def a = a\na" => /\Aconfig.ru cannot be loaded: config.ru:1: stack level too deep \(SystemStackError\)\z/,
    "def x\n" => /\Aconfig.ru cannot be loaded: config.ru:\d+: .*\(SyntaxError\)\z/,
    "use Object" => "config.ru cannot be loaded: missing run or map statement (RuntimeError)",
    "run 5" => "config.ru makes no Rack app: Integer has no method call"
  }.each do |text, message|
    it "explains what is wrong with #{text.inspect}" do
      expect { load(text) }.to raise_error(Tidegate::AppLoadError, message)
    end
  end

  it "names the line of the app, not that of the library below it" do
    File.write("lib.rb", "\nrequire 'json'\nJSON.parse('{')")
    expect { load("require_relative 'lib'") }.to raise_error(Tidegate::AppLoadError, /: lib.rb:3: /)
  end

  it "says that there is no such file" do
    expect { described_class.new("app.ru").load }
      .to raise_error(Tidegate::AppLoadError, "there is no rackup file app.ru: give its path, or start where it is")
  end

  it "keeps the exception for the backtrace" do
    expect { load("raise KeyError") }.to raise_error(having_attributes(class: Tidegate::AppLoadError, cause: KeyError))
  end

  it "lets an app end the process while it loads" do
    expect { load("exit 4") }.to raise_error(SystemExit)
  end
end
