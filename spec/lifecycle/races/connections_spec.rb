# frozen_string_literal: true

# Connections of every kind at the moment when the server is told to end.

RSpec.describe "TERM and connections", :endings, :processes do
  let(:server) { serve("endings.ru", "-t", "5:5") }

  def keep_alive_1_0(body)
    "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: #{body.bytesize}\r\n\r\n#{body}"
  end

  it "answers HTTP/1.0 keep-alive with its last response, and closes" do
    wire = server.connect
    expect(wire.write(keep_alive_1_0("first")).response["connection"]).to eq("keep-alive")
    closing
    response = wire.write(keep_alive_1_0("last")).response

    expect([response.status, response.body, response["connection"]]).to eq([200, "last", "close"]).or eq([200, "last", nil])
    expect(wire).to be_eof
    wire.close
    expect(server.exit_status).to eq(0)
  end

  it "answers HTTP/1.0 that was in the receive buffer of a kept connection" do
    wire = server.connect
    wire.write(keep_alive_1_0("first")).response
    stopping_meanwhile { wire.write(keep_alive_1_0("last")) }

    expect_last_answer(wire, "last", close: nil)
  end

  it "answers pipelined requests in order, up to the first that says close" do
    wire = server.connect
    wire.get("/")
    stopping_meanwhile { wire.write(post("one") + post("two") + post("three")) }
    bodies = []
    # All three may have been answered before the signal was seen: there is no fourth to say close.
    while bodies.size < 3
      response = wire.response
      bodies << response.body
      break if response.close?
    end

    expect(bodies).to eq(%w[one two three].first(bodies.size))
    expect(wire).to be_eof
    wire.close
    expect(server.exit_status).to eq(0)
  end

  # As before the signal: see spec/http/connection_spec.rb.
  it "takes a client that has ended its own side for gone, and goes on with the others" do
    gone = server.connect.request("GET", "/wait")
    slow = meet("wait")
    wire = server.connect
    wire.get("/")
    stopping_meanwhile do
      gone.half_close
      wire.write(post("stays"))
    end
    expect(gone).to be_eof
    slow.release

    expect_last_answer(wire, "stays", close: nil)
  end

  # The socket is readable and the timer rings at once.
  { "an idle connection" => true, "a connection that has said nothing yet" => false }.each do |which, used|
    it "answers a request that came on #{which} when that was due to be closed" do
      wire = server.connect
      wire.get("/") if used
      server.catch_up
      closing
      server.frozen do
        due = Patience.now + 1.5 # longer than a connection has to be silent
        Patience.until_true("the connection to be due") { Patience.now > due }
        wire.write(post("just in time"))
      end

      expect_last_answer(wire, "just in time")
    end

    it "answers a request of which the first byte came on #{which} when that was due to be closed" do
      wire = server.connect
      wire.get("/") if used
      server.catch_up
      closing
      server.frozen do
        due = Patience.now + 1.5
        Patience.until_true("the connection to be due") { Patience.now > due }
        wire.write("P")
      end
      server.wait_for_line(/^tidegate: listeners closed/)
      wire.write(post("just in time")[1..])

      expect_last_answer(wire, "just in time")
    end
  end

  it "closes 100 idle connections, each with an end, and says how many they were" do
    idle = Array.new(100) { server.connect.tap { |wire| wire.get("/") } }
    closing

    expect(idle).to all(be_eof)
    expect(server.exit_status).to eq(0)
    expect(summary).to include(idle_closed: 100, cut: 0, rejected_503: 0)
  end

  it "closes 20 connections that were in the accept queue and say nothing" do
    silent = []
    stopping_meanwhile { 20.times { silent << server.connect } }

    expect(silent).to all(be_eof)
    expect(server.exit_status).to eq(0)
    expect(summary).to include(idle_closed: 20, new_conns: be <= 20)
  end

  it "answers on 20 connections that were in the accept queue, and say something only after the listeners are closed" do
    wires = []
    stopping_meanwhile { 20.times { wires << server.connect } }
    server.wait_for_line(/^tidegate: listeners closed/)
    wires.each_with_index { |wire, number| wire.write(post(number.to_s)) }

    wires.each_with_index { |wire, number| expect_answer(wire, number.to_s) }
    expect(server.exit_status).to eq(0)
    expect(summary).to include(told_close: 20, idle_closed: 0)
  end

  it "takes no harm from clients that are gone" do
    stopping_meanwhile do
      5.times { server.connect.close }
      5.times { server.connect.write(post("x")).abort }
      5.times { server.connect.write(post("x")[0, 20]).close }
    end

    expect(server.exit_status).to eq(0)
    expect(summary).to include(rejected_503: 0)
  end
end
