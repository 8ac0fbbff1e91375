# frozen_string_literal: true

# `render stream: true`, whose body Rails frames itself. It was framed twice, or a 500 because its to_ary was called.

RSpec.describe "Rails' render stream: true", :frameworks, :processes do
  let(:server) do
    needs "railties", "actionpack", "actionview"
    serve("rails_stream.ru", env: { "RAILS_ENV" => "production" })
  end

  page = "<html><p>first half</p><p>second half</p></html>"

  it "gives a page that is framed once, on a connection that goes on" do
    wire = server.connect
    2.times do
      response = wire.get("/page")
      expect([response.status, response.body, response["transfer-encoding"]]).to eq([200, page, "chunked"])
    end
  end

  it "sends the beginning of the page while the rest of it is made" do
    wire = server.connect.request("GET", "/page?wait=1")
    meeting = meet("page")
    head = wire.read_until("<html>")
    meeting.release

    expect(head).to start_with("HTTP/1.1 200 OK\r\n")
    expect(wire.read_until("0\r\n\r\n")).to include("second half")
  end

  it "gives HTTP/1.0 clients and HEAD what they know" do
    plain = server.connect.write("GET /page HTTP/1.0\r\nHost: a\r\n\r\n").rest
    wire = server.connect

    expect(plain).to end_with("\r\n\r\n#{page}")
    expect(wire.ask("HEAD", "/page").status).to eq(200)
    expect(wire.get("/page").body).to eq(page)
  end
end
