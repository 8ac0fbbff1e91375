# frozen_string_literal: true

# What the operator reads when requests wait for a thread, and the server answers 503 in the app's place. Users saw 503, and no line
# said why.
RSpec.describe "a server that turns requests away", :processes do
  # The only thread is in the app.
  def occupied(*, **)
    server = serve("drain.ru", "-t", "1:1", *, **)
    wire = server.connect
    wire.request("GET", "/wait")
    [server, wire, meet("wait")]
  end

  it "says once a minute that max_queue is reached" do
    server, first, visitor = occupied("--max-queue", 1)
    second = server.connect
    second.request("GET", "/")
    server.catch_up
    expect(Array.new(3) { server.get("/").status }).to eq([503, 503, 503])
    line = "tidegate: answered a request with 503: 1 request waits for a thread already, and max_queue allows no more"
    server.wait_for_line(/^#{Regexp.escape(line)}$/)
    visitor.release
    expect([first, second].map { |wire| wire.response.status }).to eq([200, 200])
    server.signal(:TERM)
    server.wait_exit

    expect(server.output.scan("answered a request with 503").size).to eq(1)
  end

  it "says that a request has waited for queue_timeout, in JSON with the word that the metrics have" do
    server, first, visitor = occupied("--queue-timeout", "0.2", "--log-format", "json")
    expect(server.get("/").status).to eq(503)
    line = server.wait_for_line(/^\{.*"event":"queue_timeout".*$/)[0]
    expect(JSON.parse(line)).to include(
      "level" => "warn", "message" => "answered a request with 503: it waited for 0.2 s (queue_timeout) and no thread could take it"
    )
    visitor.release
    expect(first.response.status).to eq(200)
  end

  it "says nothing of requests that come while it ends, which the lines of the drain tell of" do
    server, = occupied("--drain-delay", 0, "--shutdown-timeout", "0.5")
    waits = server.connect
    waits.request("GET", "/")
    server.catch_up
    server.signal(:TERM)
    expect(waits.response.status).to eq(503)
    server.wait_exit

    expect(server.output).not_to include("answered a request with 503")
  end
end
