# frozen_string_literal: true

# What the operator sees of a response that is not what its head says; and bodies that would stop the process.

require "json"
require "tmpdir"

RSpec.describe "response bodies in a process of their own", :processes do
  {
    "array" => [9, 5, "it was cut"],
    "each" => [9, 5, "it was cut"],
    "file" => [9, 5, "it was cut"],
    "long" => [2, 5, "the rest was left out"]
  }.each do |path, (declared, actual, fate)|
    # The access log said 200, and nothing said that the client had got nothing.
    it "of a wrong length are told of, with both numbers: #{path}" do
      server = serve("lengths.ru", "-v", "--log-format", "json")
      server.connect.request("GET", "/#{path}").read_until("12")
      told = JSON.parse(server.wait_for_line(/\{.*"wrong_length".*\}/)[0])
      entry = JSON.parse(server.wait_for_line(/\{.*"method".*\}/)[0])

      expect(told).to include("level" => "warn", "message" => "GET /#{path}: the app's content-length is #{declared}, but its body has #{actual} bytes: #{fate}")
      expect(entry).to include("status" => 200, "bytes" => [declared, actual].min, "cut" => actual < declared)
    end
  end

  it "are marked in the access log where they were cut, and only there" do
    server = serve("lengths.ru", "-v")
    %w[whole array raise].each { |path| server.connect { |wire| wire.request("GET", "/#{path}").read_until("12345") } }

    expect(server.wait_for_line(%r{"GET /whole .*" 200 5 .* \d+\.\d{4}$})).to be_truthy
    expect(server.wait_for_line(%r{"GET /array .*" 200 5 .* \d+\.\d{4} cut$})).to be_truthy
    expect(server.wait_for_line(%r{"GET /raise .*" 200 5 .* \d+\.\d{4} cut$})).to be_truthy
  end

  # The worker waited with the GVL held, and nothing of Ruby's ran any more, the end included.
  it "that are FIFOs keep neither other requests nor the end waiting" do
    Dir.mktmpdir("tidegate") do |directory|
      File.mkfifo(fifo = File.join(directory, "fifo"))
      server = serve("fifo.ru", "--shutdown-timeout", "0.5", env: { "FIFO" => fifo })
      2.times { server.connect.request("GET", "/fifo") }
      expect(server.get("/").body).to eq("ok")
      server.signal(:TERM)

      expect(server.wait_exit).to be_exited
    end
  end
end
