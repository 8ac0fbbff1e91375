# frozen_string_literal: true

# The moments at which a server that stops loses requests, each made to happen for sure: the process stands still
# while a request and a TERM are put before it. No delay here, since these are about the end of serving. More of them,
# by subject, are in races/.

RSpec.describe "TERM without a drain delay", :endings, :processes do
  let(:server) { serve("drain.ru", "-t", "5:5") }

  it "answers a request that was in our receive buffer on an idle connection" do
    wire = server.connect
    wire.get("/")
    stopping_meanwhile { wire.write(post("case 1")) }

    expect_last_answer(wire, "case 1", close: nil)
  end

  it "answers a request that comes on an idle connection shortly after it" do
    wire = server.connect
    wire.get("/")
    closing
    wire.write(post("case 1b"))

    expect_last_answer(wire, "case 1b")
  end

  it "answers a request that comes shortly after it on a connection that has said nothing yet" do
    wire = server.connect
    server.catch_up
    closing
    wire.write(post("case 2"))

    expect_last_answer(wire, "case 2")
  end

  it "answers a second request of which half the head was read" do
    wire = server.connect
    wire.get("/")
    wire.write(post("case 3")[0, 30])
    server.catch_up
    closing
    wire.write(post("case 3")[30..])

    expect_last_answer(wire, "case 3")
  end

  it "answers a first request of which half the head was read" do
    wire = server.connect
    wire.write(post("case 4")[0, 30])
    server.catch_up
    closing
    wire.write(post("case 4")[30..])

    expect_last_answer(wire, "case 4")
  end

  it "answers a request of which half the body was read" do
    wire = server.connect
    wire.write(post("case 5")[0..-3])
    server.catch_up
    closing
    wire.write(" 5")

    expect_last_answer(wire, "case 5")
  end

  it "answers a request of which half a large body was read, when the rest comes after the listeners are closed" do
    body = "x" * 400_000
    wire = server.connect
    wire.write(post(body)[0, 200_000])
    server.catch_up
    closing
    server.wait_for_line(/^tidegate: listeners closed/)
    wire.write(post(body)[200_000..])

    expect_last_answer(wire, body)
  end

  it "finishes a request that the app has begun" do
    wire = server.connect.request("GET", "/wait")
    slow = meet("wait")
    closing
    slow.release("case 6")

    expect_last_answer(wire, "case 6")
  end

  it "serves the connections that were in the accept queue" do
    wires = []
    stopping_meanwhile do
      20.times { |number| wires << server.connect.write(post("case 7, #{number}")) }
    end

    expect(wires.map { |wire| wire.response.then { |it| [it.status, it.body] } }).to eq(Array.new(20) { |number| [200, "case 7, #{number}"] })
    wires.each(&:close)
    expect(server.exit_status).to eq(0)
  end

  it "answers a first request and says close, where a second came with it" do
    wire = server.connect.request("GET", "/wait").request("GET", "/")
    slow = meet("wait")
    closing
    slow.release("case 8")

    expect_last_answer(wire, "case 8")
  end

  it "runs everything that waits in the queue" do
    wires = Array.new(30) { server.connect.request("POST", "/wait", body: "case 9") }
    server.catch_up
    closing
    30.times { |number| meet("wait").release(number.to_s) }

    expect(wires.map { |wire| wire.response.then { |it| it.status == 200 && it.body } }).to match_array(Array.new(30, &:to_s))
    wires.each(&:close)
    expect(server.exit_status).to eq(0)
  end

  it "closes idle connections in the end, and exits with 0" do
    idle = [server.connect.tap { |wire| wire.get("/") }, server.connect]
    closing

    expect(idle).to all(be_eof)
    expect(server.exit_status).to eq(0)
  end

  it "does not wait for clients that do not close" do
    wire = server.connect
    wire.write(post("x"))
    closing
    wire.response

    expect(wire).to be_eof
    expect(server.exit_status).to eq(0) # and the client is still there
  end

  it "closes with an end and not with a reset, even where the client has sent more than was read" do
    wire = server.connect.request("GET", "/wait")
    slow = meet("wait")
    wire.write(post("x" * 50_000) * 3)
    server.catch_up
    closing
    slow.release("whole")

    expect_last_answer(wire, "whole")
  end
end

RSpec.describe "TERM with a drain delay", :processes do
  it "serves a new connection that comes after it" do
    server = serve("drain.ru", "--drain-delay", 600)
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: draining/)

    expect(server.connect { |wire| wire.post("/echo", "case 10") }.body).to eq("case 10")
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
  end

  it "ends with 0 while idle connections are open" do
    server = serve("drain.ru", "--drain-delay", 0.2)
    idle = Array.new(3) { server.connect.tap { |wire| wire.get("/") } }
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    expect(idle).to all(be_eof)
  end
end
