# frozen_string_literal: true

RSpec.describe Tidegate::Roster do
  def worker(index, state: :serving, age: 0, replace_for: nil)
    Tidegate::WorkerHandle.new(index:, slot: index, control: nil, pid: 100 + index).tap do |handle|
      handle.state = state
      handle.replace_for = replace_for
      allow(handle).to receive(:age).and_return(age)
    end
  end

  def roster(count, *workers, **) = described_class.new(count, **).tap { |roster| workers.each { |each| roster.add(each) } }

  it "misses each index that no worker has, or one that leaves" do
    expect(roster(3).missing).to eq [0, 1, 2]
    expect(roster(4, worker(0), worker(1, state: :booting), worker(2, state: :retiring), worker(3, state: :mold)).missing).to eq [2, 3]
  end

  it "replaces one at a time, and only what serves" do
    old = [worker(0, replace_for: :phased), worker(1, replace_for: :phased)]
    roster = roster(2, *old)
    expect(roster.next_to_replace).to be old.first

    roster.add(successor = worker(0, state: :booting))
    expect(roster.next_to_replace).to be_nil

    successor.state = :serving
    old.first.state = :retiring
    expect(roster.next_to_replace).to be old.last
  end

  it "waits where more than half of the workers are leaving" do
    leaving = Array.new(3) { |index| worker(index, state: :retiring) }
    roster = roster(4, *leaving, worker(0), worker(1), worker(2), worker(3, replace_for: :phased))
    expect(roster.next_to_replace).to be_nil

    roster.delete(leaving.first)
    expect(roster.next_to_replace.index).to eq 3
  end

  it "gives a new worker the lowest index that is free" do
    roster = roster(2, worker(0, age: 9), worker(1, age: 5), strategy: :oldest)
    roster.shrink
    expect(roster.indices).to eq [1]
    roster.grow
    roster.grow
    expect(roster.indices).to contain_exactly(0, 1, 2)
  end

  it "sends away the youngest or the oldest, and never the last" do
    workers = [worker(0, age: 9), worker(1, age: 2), worker(2, age: 5)]
    { youngest: 1, oldest: 0 }.each do |strategy, leaves|
      roster = roster(3, *workers, strategy:)
      expect(roster.shrink).to be_truthy
      expect(roster.surplus.map(&:index)).to eq [leaves]
    end
    expect(roster(1, worker(0)).shrink).to be false
  end

  it "sends away one that boots before one that serves" do
    roster = roster(2, worker(0, age: 1), worker(1, state: :booting, age: 3))
    roster.shrink
    expect(roster.indices).to eq [0]
  end

  it "has no more indices than it may" do
    roster = roster(2, most: 3)
    expect([roster.grow, roster.grow]).to match [be_truthy, false]
  end

  it "forgets whom to replace when it gives up" do
    roster = roster(2, worker(0), worker(1))
    roster.replace_all(:phased)
    expect(roster.map(&:replace_for)).to eq %i[phased phased]
    roster.give_up_replacing
    expect(roster.next_to_replace).to be_nil
  end
end
