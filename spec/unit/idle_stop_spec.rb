# frozen_string_literal: true

RSpec.describe Tidegate::IdleStop do
  let(:figures) { { requests: 0, busy: 0 } }

  # Whether it is over at each of these seconds.
  def over_at(*seconds)
    times = seconds.dup
    idle = described_class.new(10, nil, clock: -> { times.shift }) { figures.dup }
    seconds.map { |second| (yield second if block_given?) || idle.over? }
  end

  it "is over when so many seconds have passed without a request" do
    expect(over_at(0, 9.9, 10)).to eq([false, false, true])
  end

  it "begins anew with each request, and does not end in the middle of one" do
    expect(over_at(0, 9, 18, 19) { |second| (figures[:requests] = 1) && nil if second == 9 }).to eq([false, false, false, true])
    expect(over_at(0, 9, 18, 19) { |second| (figures[:busy] = second == 9 ? 1 : 0) && nil }).to eq([false, false, false, true])
  end

  it "looks at all workers of a cluster: their requests, and what keeps them busy" do
    view = { pid: 1, state: :serving, requests: 5, in_flight: 1, hijacked: 2 }
    gone = { pid: 3, state: :gone, requests: 9, in_flight: 9, hijacked: 9 }
    figures = described_class.figures([view, view.merge(pid: 2, in_flight: 0), gone])
    expect(figures).to eq(requests: [[1, 5], [2, 5]], busy: 5)
    expect(described_class.figures([view.merge(pid: 4, requests: 5)])[:requests]).not_to eq(described_class.figures([view])[:requests])
  end
end
