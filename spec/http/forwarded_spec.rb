# frozen_string_literal: true

# What trusted proxies tell of a client by headers. The rules, case by case, are tested in ext/core/src/http/forwarded/tests.rs.

RSpec.describe "headers of proxies", :in_process do
  let(:ends) { %w[REMOTE_ADDR REMOTE_PORT rack.url_scheme HTTPS HTTP_HOST SERVER_NAME SERVER_PORT HTTP_X_FORWARDED_FOR HTTP_X_REAL_IP] }
  let(:usual_headers) { %w[X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host X-Forwarded-Port] }

  # What the app is told of a request with these headers.
  def told(headers, **options)
    env = nil
    server = run_server(->(given) { (env = given.slice(*ends)) && [200, {}, []] }, **options)
    get(server, "/", headers)
    env
  end

  def believed(headers, names = usual_headers) = told(headers, trusted_proxies: %w[loopback 10.0.0.0/8], forwarded_headers: names)

  it "does not believe them unless it is told to" do
    env = told({ "x-forwarded-for" => "192.0.2.1", "x-forwarded-proto" => "https", "x-forwarded-host" => "a.example" })
    expect(env).to include("REMOTE_ADDR" => "127.0.0.1", "rack.url_scheme" => "http", "HTTP_HOST" => "example.org", "SERVER_PORT" => "80",
                           "HTTP_X_FORWARDED_FOR" => "192.0.2.1")
    expect(env).not_to have_key("HTTPS")
  end

  it "does not believe those of a client that is no trusted proxy" do
    env = told({ "x-forwarded-for" => "192.0.2.1" }, trusted_proxies: "10.0.0.0/8", forwarded_headers: usual_headers)
    expect(env).to include("REMOTE_ADDR" => "127.0.0.1")
  end

  it "takes client, scheme, host and port from X-Forwarded-..." do
    env = believed({ "x-forwarded-for" => "198.51.100.9, 192.0.2.1:4000, 10.0.0.1", "x-forwarded-proto" => "https",
                     "x-forwarded-host" => "a.example", "x-forwarded-port" => "8443" })
    expect(env).to include("REMOTE_ADDR" => "192.0.2.1", "REMOTE_PORT" => "4000", "rack.url_scheme" => "https", "HTTPS" => "on",
                           "HTTP_HOST" => "a.example", "SERVER_NAME" => "a.example", "SERVER_PORT" => "8443")
  end

  it "has the port of the scheme where none is told" do
    expect(believed({ "x-forwarded-proto" => "https" })).to include("SERVER_NAME" => "example.org", "SERVER_PORT" => "443")
  end

  it "takes them from Forwarded, and from nothing else beside it" do
    env = believed({ "forwarded" => 'for="[2001:db8::1]:4000";proto=https;host="a.example:444", for=10.0.0.1;proto=http',
                     "x-forwarded-for" => "192.0.2.1", "x-forwarded-host" => "b.example" }, ["Forwarded"])
    expect(env).to include("REMOTE_ADDR" => "2001:db8::1", "REMOTE_PORT" => "4000", "rack.url_scheme" => "https",
                           "HTTP_HOST" => "a.example:444", "SERVER_NAME" => "a.example", "SERVER_PORT" => "444")
  end

  it "takes the client from a header with one address" do
    expect(believed({ "x-real-ip" => "192.0.2.1" }, ["X-Real-IP"])).to include("REMOTE_ADDR" => "192.0.2.1", "rack.url_scheme" => "http")
  end

  it "ignores all of them where one that counts is malformed" do
    env = believed({ "x-forwarded-for" => "192.0.2.1, nonsense", "x-forwarded-proto" => "https" })
    expect(env).to include("REMOTE_ADDR" => "127.0.0.1", "rack.url_scheme" => "http")
  end

  it "is of each request and not of the connection" do
    addresses = []
    server = run_server(->(env) { addresses << env["REMOTE_ADDR"] and [200, {}, []] }, trusted_proxies: "loopback", forwarded_headers: "X-Forwarded-For")
    wire = connect(server)
    wire.get("/", "x-forwarded-for" => "192.0.2.1")
    wire.get("/")
    wire.post("/", "x", "x-forwarded-for" => "192.0.2.2")
    expect(addresses).to eq %w[192.0.2.1 127.0.0.1 192.0.2.2]
  end

  it "strips them from requests of clients, and not from those of proxies, where it is told to" do
    headers = { "x-forwarded-for" => "192.0.2.1", "x-real-ip" => "192.0.2.1" }
    env = told(headers, strip_forwarded: true)
    expect(env.keys & %w[HTTP_X_FORWARDED_FOR HTTP_X_REAL_IP]).to be_empty
    env = told(headers, strip_forwarded: true, trusted_proxies: "loopback", forwarded_headers: "X-Forwarded-For")
    expect(env).to include("REMOTE_ADDR" => "192.0.2.1", "HTTP_X_FORWARDED_FOR" => "192.0.2.1", "HTTP_X_REAL_IP" => "192.0.2.1")
  end

  it "does not start where two headers would name the client" do
    expect { told({}, forwarded_headers: %w[Forwarded X-Real-IP]) }.to raise_error(Tidegate::ConfigurationError, /only one of the headers/)
    expect { told({}, trusted_proxies: "10.0.0.1/8") }.to raise_error(Tidegate::ConfigurationError, %r{the network is 10\.0\.0\.0/8})
  end

  it "writes the client's address into the access log", :processes do
    server = serve("hello.ru", "-v", "--trusted-proxies", "loopback", "--forwarded-headers", "X-Forwarded-For")
    server.connect { |wire| wire.get("/", "x-forwarded-for" => "192.0.2.1") }
    expect(server.stdout.wait_for(/\A192\.0\.2\.1 - - /)).to be_truthy
  end
end
