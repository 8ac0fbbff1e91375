# frozen_string_literal: true

RSpec.describe "Rails", :frameworks, :processes do
  # The cookies that a response sets, as the next request sends them.
  def cookies(response) = response.headers.fetch("set-cookie", []).map { |cookie| cookie[/\A[^;]+/] }.join("; ")

  # The form of the first page: its token, and the cookie that goes with it.
  def form(wire)
    page = wire.get("/")
    [page.body[/name="authenticity_token" value="([^"]+)"/, 1], cookies(page)]
  end

  def multipart(fields, file)
    parts = fields.map { |name, value| "--b\r\nContent-Disposition: form-data; name=\"#{name}\"\r\n\r\n#{value}\r\n" }
    parts << "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"data.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n".b + file + "\r\n".b
    parts.map(&:b).join + "--b--\r\n"
  end

  it "serves pages, with one health route, and 404 for what is not there" do
    server = serve_rails
    wire = server.connect

    expect(wire.get("/").body).to include("<h1>Notes</h1>")
    expect(wire.get("/up").status).to eq(200)
    expect(wire.get("/nowhere").status).to eq(404)
    expect(wire.ask("HEAD", "/").status).to eq(200)
  end

  it "takes a form with its token, and refuses one without" do
    wire = serve_rails.connect
    token, cookie = form(wire)
    body = URI.encode_www_form(text: "from a form", authenticity_token: token)
    headers = { "content-type" => "application/x-www-form-urlencoded", "cookie" => cookie }
    saved = wire.post("/notes", body, headers)

    expect([saved.status, saved["location"]]).to match([302, %r{\Ahttp://example\.org/notes/\d+\z}])
    expect(wire.get(URI(saved["location"]).path, "cookie" => cookie).body).to include("from a form")
    expect(wire.post("/notes", "text=evil", headers).status).to eq(422)
  end

  it "keeps a session and a cookie" do
    wire = serve_rails.connect
    first = wire.get("/visits")
    second = wire.get("/visits", "cookie" => cookies(first))

    expect([first.body, second.body]).to eq(["visit 1", "visit 2"])
    expect(second.headers["set-cookie"].size).to eq(2)
  end

  [false, true].each do |streamed|
    it "takes an upload and gives it back with send_file#{", with stream_input" if streamed}" do
      wire = serve_rails(*("--stream-input" if streamed)).connect
      file = Random.new(4).bytes(300_000)
      token, cookie = form(wire)
      saved = wire.post("/notes", multipart({ text: "with a file", authenticity_token: token }, file),
                        { "content-type" => "multipart/form-data; boundary=b", "cookie" => cookie })
      got = wire.get("#{URI(saved["location"]).path}/attachment")

      expect(got.body == file).to be(true)
      expect(got.headers).to include("content-length" => ["300000"], "content-disposition" => [a_string_including("data.bin")])
    end
  end

  it "streams an export that is made while it is sent" do
    response = serve_rails.get("/export")

    expect(response).to be_chunked
    expect(response.body.lines.last).to eq("10000,100000000\n")
  end

  it "sends the first event of ActionController::Live before there is a second" do
    server = serve_rails
    wire = server.connect
    wire.request("GET", "/ticks?wait=3600")

    expect(wire.read_until("\n\n\r\n")).to include(%(data: {"tick":0}\n\n))
    wire.abort
    expect(server.get("/up").status).to eq(200)
  end

  it "runs under rails server -u tidegate, where Ctrl-C ends it with 0" do
    needs "railties", "activerecord", "actioncable", "sqlite3"
    @directory = Dir.mktmpdir("tidegate")
    server = track(ServerProcess.new([*ServerProcess::RUBY, "bin/rails", "server", "-u", "tidegate", "-b", "127.0.0.1", "-p", "0", "-e", "production",
                                      "-P", "#{@directory}/server.pid"],
                                     env: { "DATABASE" => "#{@directory}/notes.sqlite3" }, chdir: File.join(Frameworks::EXAMPLES, "rails"))).ready

    expect(server.get("/up").status).to eq(200)
    expect(File.read("#{@directory}/server.pid").to_i).to eq(server.pid)
    server.signal(:INT)
    expect(server.exit_status).to eq(0)
    expect(File.exist?("#{@directory}/server.pid")).to be(false)
  end
end
