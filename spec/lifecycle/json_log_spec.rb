# frozen_string_literal: true

require "json"

# The server's own lines for machines.

RSpec.describe "log_format json", :processes do
  it "makes each line an object, and gives the numbers of a drain" do
    server = boot("drain.ru", "--log-format", "json", "--drain-delay", 600)
    ready = JSON.parse(server.wait_for_line(/^.*"event":"ready".*$/)[0])
    expect(ready).to include("level" => "info", "message" => a_string_starting_with("ready on http://127.0.0.1:"))
    address = server.address
    server.signal(:TERM)
    server.wait_for_line(/"event":"draining"/)
    expect(Wire.open(address) { |wire| wire.get("/").status }).to eq(200)
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    lines = server.stdout.to_a.map { |line| JSON.parse(line) }
    expect(lines.map { |line| line["event"] }).to eq(%w[booted ready draining closing listeners_closed drained])
    expect(lines.first).to include("version" => Tidegate::VERSION, "ruby" => RUBY_VERSION, "yjit" => be(true).or(be(false)), "environment" => "development", "pid" => server.pid)
    expect(lines.last["drain"]).to include("new_conns" => 1, "requests" => 1, "cut" => 0, "exit" => 0, "last_new_conn" => a_kind_of(Float))
    expect(server.stderr.to_s).to eq("")
  end

  it "goes for what is wrong, too" do
    process = boot("load_error.ru", "--log-format", "json")

    expect(process.exit_status).to eq(1)
    expect(process.stderr.to_a.map { |line| JSON.parse(line).slice("level") }).to all(eq("level" => "error"))
  end
end
