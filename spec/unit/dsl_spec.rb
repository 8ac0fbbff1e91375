# frozen_string_literal: true

require "tmpdir"

RSpec.describe Tidegate::DSL do
  let(:layer) { Tidegate::Configuration::Layer.new }

  # Evaluates the text as the file config/tidegate.rb.
  def load(text)
    Dir.mktmpdir do |directory|
      path = File.join(File.realpath(directory), "tidegate.rb")
      File.write(path, text)
      Dir.chdir(directory) { described_class.load(path, layer) }
    end
    layer
  end

  def value(name, text) = load(text)[name]&.value

  it "has a method for every option that a file can set" do
    methods = described_class.public_instance_methods(false)
    Tidegate::Configuration::OPTIONS.each_value do |option|
      expect(methods.include?(option.name)).to be(option.in_file), option.name.to_s
    end
  end

  it "takes threads as Puma does" do
    load("threads 0, 5")
    expect([layer[:min_threads], layer[:max_threads]].map(&:value)).to eq [0, 5]
  end

  it "takes one number of threads for both" do
    load("threads 5")
    expect([layer[:min_threads], layer[:max_threads]].map(&:value)).to eq [5, 5]
  end

  it "collects the binds" do
    binds = value(:bind, %(bind "tcp://h:1"\nbind "unix:///x", "unix:///y"))
    expect(binds.map(&:to_s)).to eq %w[tcp://h:1 unix:///x unix:///y]
  end

  it "takes a host with the port" do
    expect(load(%(port 3000, "127.0.0.1"))[:host].value).to eq "127.0.0.1"
  end

  it "takes a block where an option is code" do
    expect(value(:lowlevel_error_handler, "lowlevel_error_handler { |error| [500, {}, [error]] }").call("x")).to eq [500, {}, ["x"]]
  end

  it "takes a switch without a value" do
    expect(value(:silent, "silent")).to be true
    expect(value(:log_requests, "quiet false")).to be true
  end

  it "gives hooks of one key the same Hash" do
    load(<<~RUBY)
      before_worker_boot(:pool) { |index, data| data[:index] = index }
      before_worker_shutdown("pool") { |index, data| [index, data] }
      before_refork(:other) { |nothing, data| [nothing, data] }
      before_worker_boot { |index| index }
    RUBY
    hook = ->(name, number = 0) { layer[name].value[number] }
    expect([hook[:before_worker_boot].call(3), hook[:before_worker_boot, 1].call(4)]).to eq [3, 4]
    expect(hook[:before_worker_shutdown].call(3)).to eq [3, { index: 3 }]
    expect(hook[:before_refork].call).to eq [nil, {}]
  end

  it "takes no key for a hook that has none" do
    expect { load("before_fork(:x) { 1 }") }.to raise_error(Tidegate::ConfigurationError, /before_fork cannot be :x: it must be a block/)
  end

  it "takes nil for no limit" do
    expect(load("write_timeout nil")).to be_key(:write_timeout)
    expect(layer[:write_timeout].value).to be_nil
  end

  it "is Ruby" do
    expect(value(:max_queue, "max_queue [1, 2].sum + 3")).to eq 6
  end

  it "remembers the line of each value" do
    expect(load("\n\nport 3000")[:port].origin).to eq "tidegate.rb:3"
  end

  {
    "\nprot 3000" => "tidegate.rb:2: unknown option prot: did you mean port?",
    "zzzzzz" => "tidegate.rb:1: unknown option zzzzzz: `tidegate --help` lists the options",
    "port :http" => "tidegate.rb:1: port cannot be :http: it must be a whole number from 0 to 65535",
    "max_queue" => "tidegate.rb:1: max_queue needs a value",
    "max_queue 1, 2" => "tidegate.rb:1: max_queue cannot be [1, 2]: it must be a whole number of at least 1",
    %(ssl_bind "h", 1, crt: "x") => %(tidegate.rb:1: bind cannot be "ssl://h:1?crt=x": crt is not among its options: did you mean cert?),
    %(\nFloat("x")) => /\Athe configuration file tidegate.rb failed: tidegate.rb:2: invalid value .* \(ArgumentError\)\z/,
    %(require_relative "no/such") => %r{\Athe configuration file tidegate.rb failed: tidegate.rb:1: .*no/such \(LoadError\)\z},
    %(require "no/such") => /\Athe configuration file tidegate.rb failed: tidegate.rb:1: .* no\/such \(LoadError\)\z/
  }.each do |text, message|
    it "explains what is wrong with #{text.inspect}" do
      expect { load(text) }.to raise_error(Tidegate::ConfigurationError, message)
    end
  end

  it "names the line of a syntax error" do
    expect { load("port 3000\nthreads (") }
      .to raise_error(Tidegate::ConfigurationError, /file tidegate.rb failed: tidegate.rb:\d: .*\(SyntaxError\)\z/)
  end

  it "names the line of a call with too many arguments" do
    expect { load("\nport 1, 2, 3") }
      .to raise_error(Tidegate::ConfigurationError, /tidegate.rb:2: wrong number of arguments/)
  end
end
