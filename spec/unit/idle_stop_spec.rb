# frozen_string_literal: true

RSpec.describe Tidegate::IdleStop do
  let(:stats) { { requests: 0, in_flight: 0, queued: 0, hijacked: 0 } }
  let(:server) { Struct.new(:stats).new(stats) }

  # Whether it is over at each of these seconds.
  def over_at(*seconds)
    times = seconds.dup
    idle = described_class.new(server, 10, nil, clock: -> { times.shift })
    seconds.map { |second| (yield second if block_given?) || idle.over? }
  end

  it "is over when so many seconds have passed without a request" do
    expect(over_at(0, 9.9, 10)).to eq([false, false, true])
  end

  it "begins anew with each request, and does not end in the middle of one" do
    expect(over_at(0, 9, 18, 19) { |second| (stats[:requests] = 1) && nil if second == 9 }).to eq([false, false, false, true])
    %i[in_flight queued hijacked].each do |name|
      expect(over_at(0, 9, 18, 19) { |second| (stats[name] = second == 9 ? 1 : 0) && nil }).to eq([false, false, false, true])
    end
  end
end
