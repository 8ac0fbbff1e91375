# frozen_string_literal: true

RSpec.describe Tidegate::ThreadLimit do
  def limits(**options)
    configuration = Tidegate::Configuration.embedded(options)
    [described_class.before_boot(configuration), described_class.after_boot(configuration)]
  end

  # An ActiveRecord with a pool of that size, or one that raises.
  def active_record(size)
    base = Class.new do
      define_singleton_method(:connection_pool) { size.is_a?(Class) ? raise(size) : Struct.new(:size).new(size) }
    end
    stub_const("ActiveRecord::Base", base)
  end

  it "is 32 where nothing says otherwise" do
    expect(limits).to eq [32, 32]
  end

  it "is what is set, whatever the app brings" do
    active_record(5)
    expect(limits(max_threads: 50)).to eq [50, 50]
  end

  it "is the size of ActiveRecord's pool" do
    active_record(5)
    expect(limits).to eq [32, 5]
  end

  it "is 32 for a larger pool, and for one without a bound" do
    active_record(100)
    expect(limits).to eq [32, 32]
    active_record(nil)
    expect(limits).to eq [32, 32]
  end

  it "is 32 when no database is configured" do
    active_record(StandardError)
    expect(limits).to eq [32, 32]
  end

  it "is never below the least number of threads" do
    active_record(5)
    expect(limits(min_threads: 40)).to eq [40, 40]
  end
end
