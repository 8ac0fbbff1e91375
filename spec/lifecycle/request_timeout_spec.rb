# frozen_string_literal: true

# request_timeout: 504 for the client whatever the app does, and the thread back where Ruby lets that be.

RSpec.describe "request_timeout", :processes do
  let(:limit) { 0.3 }

  def serve_timeouts(*arguments, threads: "1:1", limit: self.limit)
    serve("timeouts.ru", "-t", threads, "--request-timeout", limit, "--admin", "tcp://127.0.0.1:0", *arguments)
  end

  def metric(server, name)
    Wire.open(server.admin) { |wire| Integer(wire.get("/metrics").body[/^#{name} (\d+)$/, 1]) }
  end

  def line(target, fate = "its thread is interrupted")
    %r{^tidegate: GET #{target} has not returned within request_timeout \([\d.]+ s\): answered with 504, #{fate}$}
  end

  gateway_timeout = "HTTP/1.1 504 Gateway Timeout\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 20\r\n\r\n504 Gateway Timeout\n"

  # The bytes of a response, without the date.
  def bytes_of(wire) = wire.read_until("504 Gateway Timeout\n").gsub(/^date: .*\r\n/, "")

  %w[sleep compute].each do |way|
    it "answers for an app that does nothing but #{way}, and its thread serves the next request of the connection" do
      server = serve_timeouts
      wire = server.connect
      thread = wire.get("/thread").body

      expect(bytes_of(wire.request("GET", "/#{way}?token=secret"))).to eq(gateway_timeout)
      expect(wire.get("/thread").body).to eq(thread)
      server.wait_for_line(line("/#{way}"))
      server.wait_for_line(/^  \S*timeouts\.ru:\d+:in /)
      expect(server.output).not_to match(/secret|interrupter\.rb/)
      expect(metric(server, "tidegate_requests_timed_out_total")).to eq(1)
      expect(metric(server, "tidegate_requests_stuck_total")).to eq(0)
    end
  end

  # On Ruby 3.4 the files were looked at one by one, and the request computed for a time slice after each: its thread counted as stuck.
  it "interrupts a request that computes deep within many files" do
    server = serve_timeouts(threads: "2:2", limit: 1.0)
    computing = Array.new(2) { server.connect.request("GET", "/deep") }
    expect(computing.map { |wire| wire.response.status }).to eq([504, 504])
    server.wait_for_line(line("/deep"))
    computing.each { |wire| expect(wire.get("/thread").status).to eq(200) }
    expect(server.output).not_to include("does not come back")
  end

  it "is one JSON object where the log is JSON" do
    server = serve_timeouts("--log-format", "json")
    expect(server.get("/sleep").status).to eq(504)
    object = JSON.parse(server.wait_for_line(/^\{.*"event":"request_timeout".*$/)[0])

    expect(object).to include("level" => "error", "method" => "GET", "path" => "/sleep", "exception" => "Tidegate::RequestTimeout")
    expect(object["seconds"]).to be >= limit
    expect(object["backtrace"].first).to match(/timeouts\.ru:\d+:in .*sleep/)
  end

  it "goes past a rescue of StandardError, through ensure, and to the callbacks" do
    server = serve_timeouts
    expect(server.get("/rescue?told").status).to eq(504)
    expect(server.get("/seen").body).to eq("ensured Tidegate::RequestTimeout\nfinished nil Tidegate::RequestTimeout")
  end

  it "may be rescued by an app that rescues all, and what it returns is not sent" do
    server = serve_timeouts
    wire = server.connect
    expect(wire.get("/rescue_all?told").status).to eq(504)
    expect(wire.get("/seen").body).to eq("rescued Tidegate::RequestTimeout\nfinished 200 NilClass")
  end

  it "is no second line in the log, but what the app raises instead is" do
    server = serve_timeouts
    expect(server.get("/other").status).to eq(504)
    server.wait_for_line(%r{^tidegate: GET /other raised ArgumentError: of the app's own, after request_timeout had answered the client})
    expect(server.get("/sleep").status).to eq(504)
    server.wait_for_line(line("/sleep"))
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
    expect(server.output.scan("/sleep").size).to eq(1)
  end

  { "ensure" => "an ensure block that runs because of an exception", "checkin" => "the return of a connection to ActiveRecord's pool" }.each do |place, what|
    it "waits for the end of #{what}" do
      # The app has to have come there by then.
      server = serve_timeouts(threads: "2:2", limit: 1.0)
      wire = server.connect.request("GET", "/#{place}")
      inside = meet(place)
      expect(wire.response.status).to eq(504)
      server.wait_for_line(line("/#{place}", "its thread is interrupted when it has left an ensure clause, or given a connection back"))
      # The interrupter has looked at this one in the same round as at the other, and several times since.
      expect(server.get("/sleep").status).to eq(504)
      server.wait_for_line(line("/sleep"))
      inside.release

      expect(wire.get("/thread").status).to eq(200)
      Patience.until_true("the end of it") { server.get("/seen").body == "the end of /#{place}" }
    end
  end

  it "comes at the end of what the app has masked, and never to the next request" do
    server = serve_timeouts
    wire = server.connect.request("GET", "/masked")
    masked = meet("masked")
    expect(wire.response.status).to eq(504)
    server.wait_for_line(line("/masked"))
    masked.release

    5.times { expect(wire.get("/thread").status).to eq(200) }
    expect(wire.get("/seen").body).to eq("")
  end

  it "answers while C code holds the GVL, and the thread goes on when that returns" do
    needs_gem "fiddle"
    server = serve_timeouts
    wire = server.connect.request("GET", "/gvl")
    held = meet("gvl")
    expect(bytes_of(wire)).to eq(gateway_timeout)
    held.release

    expect(wire.get("/thread").status).to eq(200)
    server.wait_for_line(line("/gvl", "(?:its thread is interrupted|the app has returned meanwhile)"))
  end

  it "says in one line that a thread does not come back, counts it, and serves with the others" do
    needs_gem "fiddle"
    server = serve_timeouts(threads: "2:2")
    wire = server.connect.request("GET", "/c?secret")
    held = meet("c")
    expect(bytes_of(wire)).to eq(gateway_timeout)
    server.wait_for_line(%r{^tidegate: GET /c: the app has had it for [\d.]+ s, and its thread does not come back although it was interrupted})
    expect(metric(server, "tidegate_requests_stuck_total")).to eq(1)
    expect(wire.get("/thread").status).to eq(200)
    held.release
    wire.close

    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
    expect(server.output).not_to include("secret")
  end

  it "cuts no response that has begun, and no connection that the app has taken" do
    server = serve_timeouts(threads: "3:3")
    streaming = server.connect.request("GET", "/stream")
    streaming.read_until("begun,")
    hijacked = server.connect.request("GET", "/hijack")
    hijacked.read_until("begun,")
    stream, hijack = meet("stream"), meet("hijack")
    # Their time is over when that of a later request is.
    expect(server.get("/sleep").status).to eq(504)
    stream.release("whole")
    hijack.release("whole")

    expect(streaming.read_until("0\r\n\r\n")).to include("whole")
    expect(hijacked.rest).to eq("whole")
    Patience.until_true("the app to return") { server.get("/seen").body == "hijacked to the end" }
    expect(metric(server, "tidegate_requests_timed_out_total")).to eq(1)
  end

  it "refuses the connection to an app that wants it too late" do
    server = serve_timeouts
    wire = server.connect.request("GET", "/late_hijack")
    late_one = meet("late_hijack")
    expect(wire.response.status).to eq(504)
    server.wait_for_line(line("/late_hijack"))
    late_one.release

    expect(wire.get("/seen").body).to eq("request_timeout has answered the client")
  end

  it "gives each request at the edge one answer of its own, and loses no thread" do
    server = serve_timeouts(threads: "4:4", limit: 0.04)
    answers = Array.new(4) do |client|
      Thread.new do
        wire = server.connect
        Array.new(50) do |number|
          target = "/edge/#{client}/#{number}"
          [target, wire.get("#{target}?#{0.03 + (0.02 * rand)}").then { |response| [response.status, response.body] }]
        end.tap { wire.close }
      end
    end
    answers = answers.flat_map { |thread| Patience.value_of(thread) }

    right = answers.select { |target, answer| [[200, target], [504, "504 Gateway Timeout\n"]].include?(answer) }
    expect(answers - right).to be_empty
    expect(right.size).to eq(200)
    late = right.count { |_, (status, _)| status == 504 }
    expect(metric(server, "tidegate_requests_timed_out_total")).to eq(late)
    expect(Array.new(20) { server.get("/thread").status }.uniq).to eq([200])
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
    expect(server.output).not_to match(/was ended by|was killed|raised/)
    expect(server.output.scan(/answered with 504/).size).to eq(late)
  end
end
