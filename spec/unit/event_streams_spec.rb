# frozen_string_literal: true

RSpec.describe Tidegate::EventStreams do
  let(:closed) { [] }
  let(:draining) { [false] }
  let(:body) do
    log = closed
    events = Enumerator.new { |out| 5.times { |number| out << "data: #{number}\n\n" } }
    events.tap { events.define_singleton_method(:close) { log << true } }
  end

  def call(type: "text/event-stream", env: { "tidegate.draining" => -> { draining.first } }, within: 0)
    described_class.new(->(_) { [200, { "content-type" => type }, body] }, within:).call(env)
  end

  # The chunks of a body, with the drain beginning when the one of that number is out.
  def read(body, drain_at: nil)
    got = []
    body.each do |chunk|
      got << chunk
      draining[0] = true if got.size == drain_at
    end
    got.size
  end

  it "lets a stream go on while the server serves" do
    expect(read(call.last)).to eq 5
  end

  it "ends it behind a chunk when the server drains, and closes the app's body" do
    response = call
    expect(read(response.last, drain_at: 2)).to eq 2
    response.last.close
    expect(closed).to eq [true]
  end

  it "lets it go on for its part of the time" do
    expect(read(call(within: 3600).last, drain_at: 2)).to eq 5
  end

  it "touches nothing else: other types, other servers, streams that are called" do
    expect(call(type: "text/plain").last).to be body
    expect(call(env: {}).last).to be body
    streaming = ->(_stream) {}
    app = described_class.new(->(_) { [200, { "content-type" => "text/event-stream" }, streaming] })
    expect(app.call("tidegate.draining" => -> { true }).last).to be streaming
  end
end
