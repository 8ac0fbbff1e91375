# frozen_string_literal: true

Protocols.describe("rack.early_hints", :in_process) do
  def hinting(**options)
    run_server(early_hints: true, **options) do |env|
      env["rack.early_hints"].call({ "link" => "</a.css>; rel=preload" })
      env["rack.early_hints"].call({ "link" => ["</b.css>; rel=preload", "</c.js>; rel=preload"] })
      [200, { "content-type" => "text/plain" }, ["body"]]
    end
  end

  it "sends a 103 for each call, before the response, on its stream", :http2 do
    client = connect(hinting)
    2.times do
      response = client.get("/").response

      expect(response.informational).to eq([[%w[:status 103], ["link", "</a.css>; rel=preload"]],
                                            [%w[:status 103], ["link", "</b.css>; rel=preload"], ["link", "</c.js>; rel=preload"]]])
      expect([response.status, response.body]).to eq([200, "body"])
    end
  end

  it "sends a 103 for each call, before the response", :http1 do
    wire = connect(hinting)
    2.times do
      wire.request("GET", "/")

      expect(wire.read_until("\r\n\r\n")).to eq("HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n")
      expect(wire.read_until("\r\n\r\n")).to eq("HTTP/1.1 103 Early Hints\r\nlink: </b.css>; rel=preload\r\nlink: </c.js>; rel=preload\r\n\r\n")
      expect(wire.response.body).to eq("body")
    end
  end

  it "sends it at once, while the app goes on" do
    go = Queue.new
    server = run_server(early_hints: true) do |env|
      env["rack.early_hints"].call({ "link" => "</a.css>" })
      Patience.pop(go)
      [200, { "content-type" => "text/plain" }, ["body"]]
    end
    wire = connect(server)
    wire.request("GET", "/")
    http2? ? wire.wire.wait_for(wire.stream, "a 103") { |it| it.informational.any? } : wire.read_until("\r\n\r\n")
    go << true

    expect(wire.response.body).to eq("body")
  end

  it "is no error and sends nothing over HTTP/1.0", :http1 do
    expect(connect(hinting).write("GET / HTTP/1.0\r\nHost: a\r\n\r\n").rest).to start_with("HTTP/1.0 200").or start_with("HTTP/1.1 200")
  end

  it "is not there unless it is switched on: not every proxy can deal with it" do
    server = run_server { |env| [200, { "content-type" => "text/plain" }, [env.key?("rack.early_hints").to_s]] }

    expect(get(server, "/").body).to eq("false")
  end

  it "refuses what is no header" do
    server = run_server(early_hints: true, lint: false) do |env|
      env["rack.early_hints"].call({ "link" => "a\r\nx-evil: 1" })
      [200, {}, ["never"]]
    end

    expect(get(server, "/").status).to eq(500)
  end
end
