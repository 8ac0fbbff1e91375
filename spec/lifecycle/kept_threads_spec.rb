# frozen_string_literal: true

# Threads of ours that the app ends, as code does which ends "all other threads": after that of the pool, no worker was ever
# started again, and all probes said ready.

RSpec.describe "a server with an app that ends all threads but its own", :processes do
  let(:server) { serve("holds.ru", "-t", "0:2", "--admin", "tcp://127.0.0.1:0", "-C", config.path, env: { "SPEC_HOOK" => "1" }) }
  let(:config) do
    Tempfile.new(%w[tidegate .rb]).tap do |file|
      file.write(%(before_drain { puts "the hook ran in \#{Thread.current.name}" }\n))
      file.flush
    end
  end

  it "starts workers again, each time, and runs its hooks" do
    5.times do
      expect(server.get("/kill").status).to eq(200)
      # Two at a time, so that one more worker is wanted than the one that has answered.
      busy = Array.new(2) { server.connect.request("GET", "/wait") }
      Array.new(2) { meet("wait") }.each(&:release)
      expect(busy.map { |wire| wire.response.status }).to eq([200, 200])
    end
    server.wait_for_line(/^tidegate: the thread tidegate pool was killed; another takes its place/)
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    expect(server.output).to include("the hook ran in tidegate before_drain")
  end

  it "has lost no request that was under way in another thread: it is answered with 500" do
    busy = server.connect.request("GET", "/wait")
    meet("wait")
    server.get("/kill")

    expect(busy.response.status).to eq(500)
    expect(server.get("/").body).to eq("hello\n")
  end
end
