# frozen_string_literal: true

require "bundler"

RSpec.describe Tidegate::PumaCompat do
  # As if the bundle had the gem puma, because the Gemfile names these gems.
  def with_gems(*names)
    allow(Gem).to receive(:loaded_specs).and_return({ "puma" => Gem::Specification.new })
    allow(Bundler).to receive(:definition).and_return(instance_double(Bundler::Definition, dependencies: names.map { |name| Gem::Dependency.new(name) }))
  end

  it "keeps away where the Gemfile names puma, and not where a gem depends on it" do
    with_gems("rails", "puma")
    expect([described_class.obstacle, described_class.install, Object.const_defined?(:Puma)])
      .to eq(["the gem puma is in the Gemfile, which loads it: take it out", false, false])
    with_gems("rails", "yabeda-puma-plugin")
    expect(described_class.obstacle).to be_nil
  end

  it "has figures before there are any" do
    expect(JSON.parse(described_class::Puma.stats)).to include("backlog" => 0, "running" => 0, "pool_capacity" => 0, "max_threads" => 0)
    expect(described_class::Puma::Server.current).to be_nil
  end

  it "runs what plugins register, in its order" do
    events = described_class::Events.new
    said = []
    events.after_booted { said << 1 }
    events.on_booted { said << 2 }
    events.register(:state, ->(state) { said << state })
    events.fire(:after_booted)
    events.fire(:state, 3)
    expect(said).to eq([1, 2, 3])
  end
end
