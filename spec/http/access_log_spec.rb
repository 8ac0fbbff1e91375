# frozen_string_literal: true

require "json"
require "time"

RSpec.describe "the access log", :processes do
  def logging(*arguments) = serve("hello.ru", "-v", *arguments)

  it "has a line for each request in Apache's combined form" do
    server = logging
    server.connect { |wire| wire.get("/path?q=1", "referer" => "http://a/", "user-agent" => "spec \"quoted\"") }

    expect(server.stdout.wait_for(
      %r{\A127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /path\?q=1 HTTP/1\.1" 200 6 "http://a/" "spec \\"quoted\\"" \d+\.\d{4}\z}
    )).to be_truthy
  end

  it "has an object for each request with log_format json" do
    server = logging("--log-format", "json", "--request-id")
    server.connect { |wire| wire.ask("POST", "/path?q=1", { "user-agent" => "caf\xE9".b }, body: "x") }
    entry = JSON.parse(server.stdout.wait_for(/\A\{.*"method".*\}\z/)[0])

    expect(entry).to include("method" => "POST", "path" => "/path", "query" => "q=1", "protocol" => "HTTP/1.1", "status" => 200, "bytes" => 6,
                             "remote_addr" => "127.0.0.1", "user_agent" => "caf\u{FFFD}", "referer" => nil, "draining" => false, "hijacked" => false)
    expect(entry["request_id"]).to match(/\A\h{32}\z/)
    expect(Time.parse(entry["time"])).to be_within(3600).of(Time.now)
    expect(entry["duration_ms"]).to be >= 0
  end

  it "says with log_format json where the time of a request went" do
    server = logging("--log-format", "json", "--http-content-length-limit", 1)
    server.get("/served")
    server.connect { |wire| wire.post("/refused", "xx") }
    served, refused = %w[served refused].map { |path| JSON.parse(server.stdout.wait_for(%r{\A\{.*/#{path}.*\}\z})[0]) }

    expect(served["queue_wait_ms"] + served["app_time_ms"]).to be <= served["duration_ms"] + 0.002
    expect(served["gvl_wait_ms"]).to be_between(0, served["app_time_ms"])
    expect(refused).to include("queue_wait_ms" => nil, "gvl_wait_ms" => nil, "app_time_ms" => nil)
  end

  it "has the client's address as the app is told it, also for what never became a request" do
    server = logging("--remote-address", "192.0.2.7 \"x", "--trusted-proxies", "loopback", "--forwarded-headers", "X-Real-IP")
    server.connect { |wire| wire.get("/served", "x-real-ip" => "198.51.100.1") }
    server.connect { |wire| wire.write("NONSENSE\r\n\r\n").response }

    expect(server.stdout.wait_for(%r{\A192\.0\.2\.7 \\"x - - .*"GET /served})).to be_truthy
    expect(server.stdout.wait_for(/\A192\.0\.2\.7 \\"x - - .*"NONSENSE/)).to be_truthy
    behind = logging("--trusted-proxies", "loopback", "--forwarded-headers", "X-Real-IP")
    behind.connect { |wire| wire.get("/served", "x-real-ip" => "198.51.100.1") }
    expect(behind.stdout.wait_for(%r{\A198\.51\.100\.1 - - .*"GET /served})).to be_truthy
  end

  it "has what the server refuses by itself" do
    server = logging("--http-content-length-limit", 1)
    server.connect { |wire| expect(wire.post("/too-long", "xx").status).to eq(413) }

    expect(server.stdout.wait_for(%r{"POST /too-long HTTP/1\.1" 413 })).to be_truthy
  end

  # What never became a request left no trace: nothing told a scan, a proxy gone wrong or an https:// from silence.
  {
    "NONSENSE\r\n\r\n" => ["NONSENSE", 400, "malformed"], "GET /a HTTP/1.1\r\nX: a\nb\r\n\r\n" => ["GET /a HTTP/1.1", 400, "malformed"],
    "\x16\x03\x01\x02\x00" => ["\\x16\\x03\\x01\\x02\\x00", 400, "tls"], "GET / HTTP/2.0\r\n\r\n" => ["GET / HTTP/2.0", 505, "version"],
    "GET /\"\e HTTP/1.1\r\n\r\n" => ["GET /\\\"\\x1b HTTP/1.1", 400, "malformed"], "\x01" => ["\\x01", 400, "malformed"],
    "GET / HTTP/1.1\r\n#{"x: y\r\n" * 1001}" => ["GET / HTTP/1.1", 431, "head_too_large"]
  }.each do |bytes, (line, status, reason)|
    it "has a line for #{bytes[0, 20].inspect}, and the metrics count it as #{reason}" do
      server = logging("--admin", "tcp://127.0.0.1:0")
      server.connect { |wire| expect(wire.write(bytes.b).response.status).to eq(status) }

      expect(server.stdout.wait_for(/\A127\.0\.0\.1 - - \[[^\]]+\] "#{Regexp.escape(line)}" #{status} /)).to be_truthy
      expect(Wire.open(server.admin) { |wire| wire.get("/metrics").body }).to include(%(tidegate_requests_refused_total{reason="#{reason}"} 1\n))
    end
  end

  it "has an object with the reason for what is refused, with log_format json" do
    server = logging("--log-format", "json", "--head-timeout", 0.2, "--http-content-length-limit", 1)
    server.connect { |wire| wire.write("GET /half HT").response }
    server.connect { |wire| wire.post("/long", "xx") }
    half, long = %w[half long].map { |path| JSON.parse(server.stdout.wait_for(%r{\A\{.*/#{path}.*\}\z})[0]) }

    expect(half).to include("request_line" => "GET /half HT", "method" => nil, "path" => nil, "status" => 408, "refused" => "head_timeout")
    expect(half["duration_ms"]).to be >= 200
    expect(long).to include("path" => "/long", "status" => 413, "refused" => "body_too_large")
    expect(long).not_to include("request_line")
  end

  it "has a dash where the client left before there was an answer" do
    server = serve("drain.ru", "-v")
    wire = server.connect
    wire.request("GET", "/wait")
    meet("wait")
    wire.abort

    expect(server.stdout.wait_for(%r{"GET /wait HTTP/1\.1" - 0 })).to be_truthy
  end

  it "is whole when the server has stopped" do
    server = logging
    20.times { |number| server.get("/#{number}") }
    server.signal(:TERM)
    server.wait_exit

    expect(server.stdout.to_s.scan(%r{"GET /(\d+) HTTP}).flatten.map(&:to_i)).to match_array(0..19)
  end

  it "is not there unless it is asked for" do
    server = serve("hello.ru")
    server.get("/")
    server.signal(:TERM)
    server.wait_exit

    expect(server.output).not_to include("GET")
  end
end
