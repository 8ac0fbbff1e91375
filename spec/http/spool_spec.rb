# frozen_string_literal: true

require "tmpdir"

# Uploads were answered with 507, and nothing said why. One that is of no use at boot is told of by TemporaryDirectory.
RSpec.describe "a TMPDIR that request bodies can no longer be written to", :processes do
  let(:directory) { File.join(Dir.mktmpdir, "gone") }
  let(:told) { /tidegate: cannot keep request bodies in #{Regexp.escape(directory)}: No such file or directory \(os error 2\).*TMPDIR/ }

  after { FileUtils.rm_rf(File.dirname(directory)) }

  def launch = serve("hello.ru", "-v", "--admin", "tcp://127.0.0.1:0", "--body-memory-limit", "112K", env: { "TMPDIR" => directory })

  def upload(server) = server.connect { |wire| wire.post("/upload", "x" * 200_000).status }

  it "is told once when an upload meets it, and small bodies are served on" do
    server = launch
    expect(upload(server)).to eq(200)
    Dir.rmdir(directory)

    2.times { expect(upload(server)).to eq(507) }
    expect(server.stdout.wait_for(%r{"POST /upload HTTP/1\.1" 507 })).to be_truthy
    expect(Wire.open(server.admin) { |wire| wire.get("/metrics").body }).to include(%(tidegate_requests_refused_total{reason="no_space"} 2\n))
    expect(server.connect { |wire| wire.post("/small", "x").status }).to eq(200)
    server.signal(:TERM)
    server.wait_exit
    expect(server.output.scan(told).size).to eq(1)
  end
end
