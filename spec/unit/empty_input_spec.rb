# frozen_string_literal: true

require "rack/lint"
require "rack/mock_request"

RSpec.describe Tidegate::EmptyInput do
  let(:input) { described_class.new.freeze }

  it "reads like a file that is at its end" do
    expect([input.read, input.read(0), input.read(nil)]).to eq ["", "", ""]
    expect([input.read(5), input.gets, input.each.to_a]).to eq [nil, nil, []]
  end

  it "clears the buffer that it is given" do
    buffer = +"old"
    expect(input.read(5, buffer)).to be_nil
    expect(buffer).to eq ""
    expect(input.read(nil, buffer)).to be buffer
  end

  it "gives every reader a String of its own, of bytes" do
    expect(input.read.encoding).to be Encoding::BINARY
    expect(input.read << "mine").to eq "mine"
    expect(input.read).to eq ""
  end

  it "can be closed by one app and read by the next" do
    input.close
    expect([input.read, input.rewind, input.closed?]).to eq ["", 0, false]
  end

  it "can be copied from" do
    expect(IO.copy_stream(input, StringIO.new)).to eq 0
  end

  it "is what Rack::Lint takes for an input" do
    app = Rack::Lint.new(lambda do |env|
      env["rack.input"].each(&:itself)
      [200, { "content-type" => "text/plain" }, [env["rack.input"].read]]
    end)
    expect(Rack::MockRequest.new(app).get("/", "rack.input" => input).body).to eq ""
  end
end
