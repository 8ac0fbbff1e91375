# frozen_string_literal: true

require "zlib"

RSpec.describe "the middleware that Rack ships", :frameworks, :processes do
  def serve_middleware(**env)
    start("-o", "127.0.0.1", "-p", 0, "-C", "-", "-e", "production", File.join(Frameworks::EXAMPLES, "middleware/config.ru"), env: env.transform_keys(&:to_s)).ready
  end

  let(:server) { serve_middleware }

  it "compresses, and what is compressed is whole" do
    wire = server.connect
    %w[/text /lines].each do |path|
      response = wire.get(path, "accept-encoding" => "gzip")

      expect(response["content-encoding"]).to eq("gzip")
      expect(Zlib.gunzip(response.body)).to eq(wire.get(path).body)
    end
  end

  it "tells the time it took, and the type" do
    response = server.get("/text")

    expect(response.headers).to include("x-runtime", "etag", "content-type" => ["text/plain"])
  end

  it "answers a condition that holds with 304" do
    wire = server.connect
    etag = wire.get("/text")["etag"]

    expect(wire.get("/text", "if-none-match" => etag).status).to eq(304)
    expect(wire.get("/text").status).to eq(200)
  end

  it "serves files, by parts too" do
    wire = server.connect
    content = File.binread(File.join(Frameworks::EXAMPLES, "middleware/config.ru"))

    expect(wire.get("/config.ru").body).to eq(content)
    expect(wire.get("/file").body).to eq(content)
    part = wire.get("/file", "range" => "bytes=0-9")
    expect([part.status, part.body]).to eq([206, content[0, 10]])
  end

  it "leaves a file to the proxy with X-Sendfile" do
    response = serve_middleware(SENDFILE: "x-sendfile").get("/file")

    expect(response["x-sendfile"]).to end_with("examples/middleware/config.ru")
    expect(response.body).to eq("")
  end

  it "parses an upload and removes its file" do
    file = "u" * 200_000
    body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n#{file}\r\n--b--\r\n"
    response = server.connect { |wire| wire.ask("PUT", "/upload", { "content-type" => "multipart/form-data; boundary=b" }, body:) }

    expect(response.body).to eq("PUT a.bin 200000")
  end

  it "overrides the method, and answers HEAD" do
    wire = server.connect

    expect(wire.post("/method", "_method=delete", { "content-type" => "application/x-www-form-urlencoded" }).body).to eq("DELETE")
    expect(wire.ask("HEAD", "/text").status).to eq(200)
    expect(wire.get("/text").status).to eq(200)
  end

  it "shows an exception" do
    response = server.get("/error")

    expect([response.status, response.body]).to match([500, /on purpose/])
  end

  after { expect(server.output).not_to include("LintError") }
end
