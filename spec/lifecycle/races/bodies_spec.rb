# frozen_string_literal: true

# Requests of which only a part is there when the server is told to end, and responses of which only a part is out.

RSpec.describe "TERM in the middle of a message", :endings, :processes do
  let(:server) { serve("endings.ru", "-t", "5:5") }

  it "waits for the rest of a chunked upload" do
    wire = server.connect
    wire.write("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf ")
    server.catch_up
    closing
    wire.write("\r\n4\r\nsent\r\n0\r\n\r\n")

    expect_last_answer(wire, "half sent")
  end

  it "waits for the rest of a chunked upload that ends within the size of a chunk" do
    wire = server.connect
    wire.write("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0")
    stopping_meanwhile { wire.write("A\r\n0123456789\r\n0") }
    server.wait_for_line(/^tidegate: listeners closed/)
    wire.write("\r\n\r\n")

    expect_last_answer(wire, "0123456789")
  end

  it "waits for the rest of a body behind a head that was in the accept queue" do
    body = "b" * 300_000
    wire = nil
    stopping_meanwhile { wire = server.connect.write(post(body)[0, 50_000]) }
    server.wait_for_line(/^tidegate: listeners closed/)
    wire.write(post(body)[50_000..])

    expect_last_answer(wire, body)
  end

  it "waits for the rest of a head that came byte by byte in the accept queue" do
    wire = nil
    stopping_meanwhile do
      wire = server.connect
      post("slow")[0, 20].each_char { |char| wire.write(char) }
    end
    server.wait_for_line(/^tidegate: listeners closed/)
    wire.write(post("slow")[20..])

    expect_last_answer(wire, "slow")
  end

  it "delivers 2 MB to a client that has read nothing yet" do
    wire = server.connect(receive_buffer: 4096).request("GET", "/large")
    server.catch_up
    closing
    server.wait_for_line(/^tidegate: listeners closed/)
    response = wire.response

    expect([response.status, response.body.bytesize]).to eq([200, 2_000_000])
    expect(wire).to be_eof
    wire.close
    expect(server.exit_status).to eq(0)
    expect(summary).to include(cut: 0, unacked_bytes: 0)
  end

  it "delivers 2 MB that were asked for in the accept queue" do
    wire = nil
    stopping_meanwhile { wire = server.connect(receive_buffer: 4096).request("GET", "/large") }
    server.wait_for_line(/^tidegate: listeners closed/)

    expect_last_answer(wire, "x" * 2_000_000, close: nil)
  end

  it "answers the request that comes while a response without close is under way" do
    wire = server.connect.request("GET", "/two")
    wire.read_until("\r\n\r\n")
    slow = meet("two")
    wire.write(post("next"))
    server.catch_up
    closing
    slow.release("two")
    expect(wire.read_until("0\r\n\r\n")).to include("two")

    expect_last_answer(wire, "next")
  end
end
