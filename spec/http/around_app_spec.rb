# frozen_string_literal: true

# What settings of Puma's change around the app, on the wire.
RSpec.describe "the settings around the app", :in_process do
  it "tell it another scheme and the same address for every client" do
    server = run_server(rack_url_scheme: "https", remote_address: "192.0.2.7") do |env|
      [200, { "content-type" => "text/plain" }, [env.values_at("rack.url_scheme", "REMOTE_ADDR").join(" ")]]
    end
    expect(get(server, "/").body).to eq("https 192.0.2.7")
  end

  it "let some methods reach it, and answer others with 501" do
    server = run_server(supported_http_methods: %w[GET PROPFIND]) { |env| [200, { "content-type" => "text/plain" }, [env["REQUEST_METHOD"]]] }
    wire = connect(server)
    expect(wire.request("PROPFIND", "/").response.body).to eq("PROPFIND")
    refused = wire.request("POST", "/", {}, body: "x").response
    expect([refused.status, refused.body]).to eq([501, "POST is not supported\n"])
    expect(wire.get("/").body).to eq("GET")
  end

  it "end a connection of HTTP/1 after each response" do
    server = run_server(enable_keep_alives: false) { [200, { "content-type" => "text/plain" }, ["ok"]] }
    expect(Wire.open(server.addresses.first) { |wire| wire.get("/").close? }).to be(true)
    expect(get(server, "/").body).to eq("ok")
  end

  it "call it in a new Fiber each time, whose exceptions are the request's" do
    server = run_server(fiber_per_request: true, min_threads: 1, max_threads: 1) do |env|
      raise "on purpose" if env["PATH_INFO"] == "/raise"

      count = Thread.current[:count] = Thread.current[:count].to_i + 1
      [200, { "content-type" => "text/plain" }, [count.to_s]]
    end
    expect(Array.new(2) { get(server, "/").body }).to eq(%w[1 1])
    expect(get(server, "/raise").status).to eq(500)
    expect(errors.to_s).to include("GET /raise raised RuntimeError: on purpose")
  end
end
