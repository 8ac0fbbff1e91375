# frozen_string_literal: true

RSpec.describe "Action Cable", :frameworks, :processes do
  let(:identifier) { JSON.generate(channel: "NotesChannel") }

  # A client that has subscribed.
  def subscribe(server)
    socket = WebSocket.open(server.connect, "/cable", protocol: "actioncable-v1-json")
    expect(socket.message).to eq({ "type" => "welcome" })
    socket.command("subscribe", identifier)
    expect(socket.message).to eq({ "identifier" => identifier, "type" => "confirm_subscription" })
    socket
  end

  it "passes messages between clients" do
    server = serve_rails
    one, other = subscribe(server), subscribe(server)
    one.command("message", identifier, { action: "say", text: "hello \u{1F600}" })

    expect([one.message, other.message]).to all(eq({ "identifier" => identifier, "message" => { "said" => "hello \u{1F600}" } }))
    one.command("unsubscribe", identifier)
    other.command("message", identifier, { action: "say", text: "again" })
    expect(other.message["message"]).to eq({ "said" => "again" })
  end

  it "broadcasts what an ordinary request has changed" do
    server = serve_rails
    socket = subscribe(server)
    page = server.get("/")
    body = URI.encode_www_form(text: "new", authenticity_token: page.body[/name="authenticity_token" value="([^"]+)"/, 1])
    cookie = page.headers["set-cookie"].first[/\A[^;]+/]
    server.connect { |wire| wire.post("/notes", body, { "content-type" => "application/x-www-form-urlencoded", "cookie" => cookie }) }

    expect(socket.message["message"]).to include("text" => "new")
  end

  it "tells its clients to come back when the server drains, closes in order, and the process exits 0" do
    server = serve_rails("--drain-delay", 1, "--termination-grace", 60)
    sockets = Array.new(5) { subscribe(server) }
    server.signal(:TERM)

    expect_sent_away(sockets, server)
  end

  it "closes a client that subscribes in the drain, too" do
    server = serve_rails("--drain-delay", 1, "--termination-grace", 60)
    subscribe(server)
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: draining/)
    late = subscribe(server)

    expect(late.message).to include("type" => "disconnect")
    late.message
    late.answer_close
  end
end
