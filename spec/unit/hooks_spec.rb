# frozen_string_literal: true

require "stringio"

RSpec.describe Tidegate::Hooks do
  let(:err) { StringIO.new }

  def run(*blocks, with: []) = described_class.new(:before_worker_boot, blocks, Tidegate::Log.new(err:)).run(*with)

  it "gives each block as many arguments as it takes" do
    got = []
    taker = Object.new
    taker.define_singleton_method(:call) { |index| got << [:object, index] }
    forwarder = Class.new do
      define_method(:method_missing) { |name, *all| name == :call ? got << [:missing, *all] : super(name, *all) }
      def respond_to_missing?(name, *) = name == :call
    end.new
    run(-> { got << [] }, ->(index) { got << [index] }, ->(*all) { got << all }, proc { |index, more| got << [index, more] }, taker, forwarder, with: [7])

    expect(got).to eq [[], [7], [7], [7, nil], [:object, 7], [:missing, 7]]
  end

  it "logs the exception of one, and runs the others" do
    ran = []
    run(-> { raise "on purpose" }, -> { raise NotImplementedError, "nor this" }, -> { ran << :last })

    expect(ran).to eq [:last]
    expect(err.string).to include("tidegate: the hook before_worker_boot raised RuntimeError: on purpose\n")
      .and include("tidegate: the hook before_worker_boot raised NotImplementedError: nor this\n")
  end

  it "gives a lambda with a key what it takes too" do
    got = []
    data = {}
    hooks = [->(index) { got << index }, ->(index, hash) { got << [index, hash] }].map { |block| Tidegate::KeyedHook.new(block, data) }
    run(*hooks, with: [2])

    expect(got).to eq [2, [2, data]]
    expect(got.last.last).to be data
  end
end
