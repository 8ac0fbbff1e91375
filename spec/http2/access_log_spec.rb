# frozen_string_literal: true

# What a line of the access log says of a response over HTTP/2 that its client did not take.
RSpec.describe "the access log of HTTP/2", :processes do
  let(:server) { serve("hello.ru", "-v", "--write-timeout", "0.5") }

  # The stream of a request whose client takes one byte of the body.
  def ask_for_one_byte
    wire = server.connect(client: HTTP2Wire, settings: { initial_window_size: 1 })
    number = wire.request("GET", "/")
    wire.wait_for(number, "a byte") { |response| response.body.bytesize == 1 }
    [wire, number]
  end

  # It said 200 and all bytes, because the server had taken all of them from the app.
  it "says that a response was cut which the client takes back, and how much of it went out" do
    wire, number = ask_for_one_byte
    wire.send_frame(:rst_stream, stream: number, payload: [8].pack("N"))

    expect(server.stdout.wait_for(%r{"GET / HTTP/2(?:\.0)?" 200 1 .*cut$})).to be_truthy
  end

  it "says the same of one that the server gives up, because the client takes no more" do
    wire, number = ask_for_one_byte

    expect(wire.response(number).reset).to eq(:cancel)
    expect(server.stdout.wait_for(%r{"GET / HTTP/2(?:\.0)?" 200 1 .*cut$})).to be_truthy
  end
end
