# frozen_string_literal: true

RSpec.describe "Sinatra", :frameworks, :processes do
  def serve_sinatra
    needs "sinatra"
    start("-o", "127.0.0.1", "-p", 0, "-C", "-", "-e", "production", File.join(Frameworks::EXAMPLES, "sinatra/config.ru")).ready
  end

  it "serves pages and forms" do
    wire = serve_sinatra.connect

    expect(wire.get("/").body).to eq("Hello from Sinatra\n")
    expect(wire.get("/greet/%3Cyou%3E").body).to eq("<h1>Hello, &lt;you&gt;</h1>\n")
    expect(wire.post("/sum", "a=1&b=41", { "content-type" => "application/x-www-form-urlencoded" }).body).to eq("42")
    expect(wire.get("/nowhere").status).to eq(404)
  end

  it "streams a line at once, and goes on" do
    wire = serve_sinatra.connect
    wire.request("GET", "/stream?wait=3600")
    expect(wire.read_until("line 0\n")).to start_with("HTTP/1.1 200")
    wire.abort
  end

  it "streams to the end" do
    expect(serve_sinatra.get("/stream?wait=0").body).to eq("line 0\nline 1\nline 2\n")
  end

  it "sends events" do
    response = serve_sinatra.get("/events", "accept" => "text/event-stream")

    expect([response["content-type"], response.body]).to match([/text\/event-stream/, "data: first\n\ndata: second\n\n"])
  end
end
