# frozen_string_literal: true

# `render stream: true`: Rails frames the body itself. It was framed twice, or a 500 because its to_ary was called.

RSpec.describe "Rails' render stream: true", :frameworks, :processes do
  page = "<html><p>first half</p><p>second half</p></html>"

  def boot_rails
    needs "railties", "actionpack", "actionview"
    serve("rails_stream.ru", env: { "RAILS_ENV" => "production" })
  end

  # One boot for all of it: Rails takes its time.
  it "gives a page that is framed once, on a connection that goes on, its beginning while the rest is made" do
    server = boot_rails
    wire = server.connect
    pages = Array.new(2) { wire.get("/page") }
    expect(pages.map { |response| [response.status, response.body, response["transfer-encoding"]] }).to all(eq([200, page, "chunked"]))

    plain = server.connect.write("GET /page HTTP/1.0\r\nHost: a\r\n\r\n").rest
    expect(plain).to end_with("\r\n\r\n#{page}")
    expect(wire.ask("HEAD", "/page").status).to eq(200)
    expect(wire.get("/page").body).to eq(page)

    wire.request("GET", "/page?wait=1")
    meeting = meet("page")
    expect(wire.read_until("<html>")).to start_with("HTTP/1.1 200 OK\r\n")
    meeting.release # the beginning has come while the rest of the page was still to be made
    expect(wire.read_until("0\r\n\r\n")).to include("second half")
  end
end
