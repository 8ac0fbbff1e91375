# frozen_string_literal: true

# Connections that live on until one side ends them: event streams and hijacked sockets.

RSpec.describe "TERM and connections that live on", :endings, :processes do
  let(:server) { serve("endings.ru") }

  # The app goes on once the listeners are closed, the client gets the rest, and then the server has nothing to wait for.
  def expect_rest(wire, place, expectation)
    server.wait_for_line(/^tidegate: listeners closed/)
    place.release

    expect(wire.rest).to expectation
    wire.close
    expect(server.exit_status).to eq(0)
  end

  it "lets a stream of events end by itself, when its app sees that the server drains" do
    wire = server.connect.request("GET", "/events")
    wire.read_until("first\n\n")
    stream = meet("events")
    closing

    expect_rest(wire, stream, include("data: leaving\n\n").and(end_with("0\r\n\r\n")))
  end

  it "begins a stream of events that was asked for in the accept queue, and lets it end" do
    wire = nil
    stopping_meanwhile { wire = server.connect.request("GET", "/events") }
    stream = meet("events")
    server.wait_for_line(/^tidegate: closing/)
    stream.release

    expect_last_answer(wire, "data: first\n\ndata: leaving\n\n", close: nil)
  end

  it "waits for a hijacked connection" do
    wire = server.connect.request("GET", "/hijack")
    hijacked = meet("hijacked")
    closing

    expect_rest(wire, hijacked, eq("to the end"))
  end

  it "gives the app a connection that was in the accept queue, and waits for it" do
    wire = nil
    stopping_meanwhile { wire = server.connect.request("GET", "/hijack") }

    expect_rest(wire, meet("hijacked"), eq("to the end"))
  end
end
