# frozen_string_literal: true

# Connections that live on until somebody ends them: event streams and hijacked sockets.

RSpec.describe "TERM and connections that live on", :endings, :processes do
  let(:server) { serve("endings.ru") }

  it "lets a stream of events end by itself, when its app sees that the server drains" do
    wire = server.connect.request("GET", "/events")
    wire.read_until("first\n\n")
    stream = meet("events")
    closing
    server.wait_for_line(/^tidegate: listeners closed/)
    stream.release

    expect(wire.rest).to include("data: leaving\n\n").and end_with("0\r\n\r\n")
    wire.close
    expect(server.exit_status).to eq(0)
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
    server.wait_for_line(/^tidegate: listeners closed/)
    hijacked.release

    expect(wire.rest).to eq("to the end")
    wire.close
    expect(server.exit_status).to eq(0)
  end

  it "gives the app a connection that was in the accept queue, and waits for it" do
    wire = nil
    stopping_meanwhile { wire = server.connect.request("GET", "/hijack") }
    hijacked = meet("hijacked")
    server.wait_for_line(/^tidegate: listeners closed/)
    hijacked.release

    expect(wire.rest).to eq("to the end")
    wire.close
    expect(server.exit_status).to eq(0)
  end
end
