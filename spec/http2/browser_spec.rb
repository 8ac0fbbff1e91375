# frozen_string_literal: true

# What a browser makes of HTTP/2: over TLS it speaks nothing else, and its WebSockets are streams of the same connection (RFC 8441).

require "digest"

RSpec.describe "a browser over HTTP/2", :browser, :in_process do
  # One echo on a WebSocket, by an app that knows only the handshake of HTTP/1.
  def echo(env)
    io = env["rack.hijack"].call
    accept = Digest::SHA1.base64digest(env["HTTP_SEC_WEBSOCKET_KEY"] + WebSocket::GUID)
    io.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: #{accept}\r\n\r\n")
    Thread.new do
      _, length = io.read(2).unpack("CC")
      mask = io.read(4).bytes
      text = io.read(length & 0x7F).bytes.each_with_index.map { |byte, index| byte ^ mask[index % 4] }.pack("C*")
      io.write([0x81, text.bytesize].pack("CC") + text)
      io.read
      io.close
    end
    [-1, {}, []]
  end

  it "loads a page, and opens a WebSocket on a stream beside it" do
    seen = Queue.new
    server = run_server(lint: false, tls: true) do |env|
      seen << env.values_at("PATH_INFO", "SERVER_PROTOCOL", "REQUEST_METHOD", "rack.url_scheme", "rack.protocol")
      next echo(env) if env["HTTP_UPGRADE"] == "websocket"

      env["PATH_INFO"] == "/" ? [200, { "content-type" => "text/html" }, ["<title>page</title>"]] : [404, {}, []]
    end
    browser.open("https://127.0.0.1:#{server.port}/")

    expect(browser.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")).to eq("h2")
    said = browser.evaluate(<<~JS)
      new Promise((resolve, reject) => {
        const socket = new WebSocket("wss://" + location.host + "/echo")
        socket.onopen = () => socket.send("hello")
        socket.onmessage = (event) => { resolve(event.data); socket.close() }
        socket.onerror = () => reject(new Error("no WebSocket"))
      })
    JS
    expect(said).to eq("hello")
    requests = Array.new(seen.size) { seen.pop }
    expect(requests).to include(["/", "HTTP/2", "GET", "https", nil], ["/echo", "HTTP/2", "GET", "https", ["websocket"]])
  end
end
