# frozen_string_literal: true

# A client that asks before it sends its body (Expect: 100-continue), at each stage of the end.

RSpec.describe "TERM and a client that waits for 100 Continue", :endings, :processes do
  let(:head) { "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n" }

  def expect_go_ahead(wire)
    response = wire.response
    expect(response.status).to eq(100)
  end

  context "without a drain delay" do
    let(:server) { serve("endings.ru") }

    it "tells it to go on, when its head was in the accept queue" do
      wire = nil
      stopping_meanwhile { wire = server.connect.write(head) }
      server.wait_for_line(/^tidegate: closing/)
      expect_go_ahead(wire)
      wire.write("body")

      expect_last_answer(wire, "body")
    end

    it "tells it to go on, when its head comes on an idle connection after the signal" do
      wire = server.connect
      wire.get("/")
      closing
      wire.write(head)
      expect_go_ahead(wire)
      server.wait_for_line(/^tidegate: listeners closed/)
      wire.write("body")

      expect_last_answer(wire, "body")
    end

    it "takes the body of one that was told to go on before the signal" do
      wire = server.connect.write(head)
      expect_go_ahead(wire)
      closing
      wire.write("body")

      expect_last_answer(wire, "body")
    end

    it "refuses it with 503 when the time is up, whether it was told to go on or not" do
      wire = server.connect.write(head)
      expect_go_ahead(wire)
      forcing
      response = wire.response

      expect([response.status, response["retry-after"], response.close?]).to eq([503, "1", true])
      expect(wire).to be_eof
      wire.close
      server.wait_exit
      expect(summary).to include(rejected_503: 1)
    end

    it "refuses it with 503 when the time is up, although its head was not read yet" do
      wire = server.connect
      wire.get("/")
      stopping_meanwhile(:INT, :QUIT, :TERM) { wire.write(head) }
      server.wait_for_line(/^tidegate: forcing/)
      response = wire.response
      response = wire.response if response.status == 100 # the head was read before the signals were seen

      expect([response.status, response["retry-after"], response.close?]).to eq([503, "1", true])
      expect(wire).to be_eof
      wire.close
      server.wait_exit
      expect(summary).to include(rejected_503: 1)
    end
  end

  it "tells it to go on in the drain delay" do
    server = serve("endings.ru", "--drain-delay", 600)
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: draining/)
    wire = server.connect.write(head)
    expect_go_ahead(wire)
    response = wire.write("body").response

    expect([response.status, response.body, response.close?]).to eq([200, "body", true])
    expect(wire).to be_eof
  end
end
