# frozen_string_literal: true

# Ruby 3.3 waits for ever once it could not start a thread: the whole server stood still.
RSpec.describe Tidegate::ThreadRoom do
  # How many threads the system has room for, and how often it was tried.
  before do
    @tried = 0
    native = Module.new
    test = self
    native.define_singleton_method(:threads_start?) { |count| test.room?(count) }
    stub_const("Tidegate::Native", native)
  end

  def room?(count) = (@tried += 1) && count <= @room

  # Takes until there is no room, 100 at most.
  def taken(room)
    (1..100).find { room.take? ? (@room -= 1) && false : true }&.pred
  end

  it "has room for as many as the system, less what may be in use for a moment" do
    @room = 50
    expect(taken(described_class.new(needed: true))).to be_between(46, 49)
    expect(@tried).to be < 40
  end

  it "is asked again when there is room again" do
    room = described_class.new(needed: true)
    @room = 0
    expect(room.take?).to be(false)
    @room = 30
    expect(taken(room)).to be_between(26, 29)
  end

  it "need not be asked on a Ruby that raises and goes on" do
    @room = 0
    expect(taken(described_class.new(needed: false))).to be_nil
    expect(@tried).to eq 0
  end
end
