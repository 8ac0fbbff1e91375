# frozen_string_literal: true

# /livez tells a dead pool from a busy one: it said 200 while nothing ran the app any more.

RSpec.describe "the liveness probe", :processes do
  let(:timeout) { 0.2 }

  def numbers(server) = Wire.open(server.admin) { |wire| wire.get("/metrics").body }

  def silence(server) = Float(numbers(server)[/^tidegate_unattended_seconds (\S+)/, 1])

  it "fails, says why and is counted while requests wait and no thread comes to the app, and is well again when one does" do
    Tempfile.create(%w[tidegate .rb]) do |file|
      file.write(%(require "#{fixture("meeting.rb")}"\nbefore_thread_start { Meeting.at("hook") }\n))
      file.flush
      server = serve("hello.ru", "-t", 1, "--admin", "tcp://127.0.0.1:0", "--liveness-timeout", timeout, "-C", file.path)
      hook = meet("hook")
      expect([server.probe("/livez"), silence(server)]).to eq([200, 0.0])

      waiting = server.connect.request("GET", "/")
      Patience.until_true("the probe to fail") { server.probe("/livez") == 503 }
      answer = Wire.open(server.admin) { |wire| wire.get("/livez").body }
      expect(answer).to match(/\Adead: requests have waited for [\d.]+ s, and no thread runs the app \(liveness_timeout\)\n\z/)
      expect(silence(server)).to be >= timeout
      expect(%w[/readyz /servingz /startupz].map { |path| server.probe(path) }).to all(eq(200))
      server.wait_for_line(%r{^tidegate: /livez fails: 1 request has waited for up to [\d.]+ s and no thread is in the app \(0 threads, 0 asleep\)})

      hook.release
      expect(waiting.response.body).to eq("hello\n")
      expect([server.probe("/livez"), silence(server)]).to eq([200, 0.0])
      expect(server.output.scan("/livez fails").size).to eq(1)
    end
  end

  it "does not fail while the app is busy, for however long others wait" do
    server = serve("endings.ru", "-t", 1, "--admin", "tcp://127.0.0.1:0", "--liveness-timeout", timeout)
    busy = server.connect.request("GET", "/wait")
    report = meet("wait")
    waiting = server.connect.request("GET", "/")
    Patience.until_true("the second to wait") { numbers(server).match?(/^tidegate_queue_depth 1$/) }
    enough = Patience.now + (3 * timeout)
    while Patience.now < enough
      expect(server.probe("/livez")).to eq(200)
    end
    report.release("done")

    expect([busy, waiting].map { |wire| wire.response.status }).to eq([200, 200])
  end
end
