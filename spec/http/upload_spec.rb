# frozen_string_literal: true

RSpec.describe "an upload of 200 MB", :processes do
  size = 200 * 1024 * 1024
  piece = Random.new(5).bytes(1024 * 1024)

  # The most memory that the process has had, in bytes.
  def peak(server) = File.read("/proc/#{server.pid}/status")[/^VmHWM:\s+(\d+)/, 1].to_i * 1024

  before { skip "memory can be told by /proc only" unless File.exist?("/proc/self/status") }

  [[], ["--stream-input"]].each do |options|
    [true, false].each do |chunked|
      it "does not grow the process#{", chunked" if chunked}#{", with #{options.first}" if options.any?}" do
        server = serve("counts.ru", *options)
        server.connect { |wire| wire.post("/", piece) }
        before = peak(server)
        wire = server.connect
        wire.write("POST / HTTP/1.1\r\nHost: a\r\n#{chunked ? "Transfer-Encoding: chunked" : "Content-Length: #{size}"}\r\n\r\n")
        (size / piece.bytesize).times { wire.write(chunked ? "#{piece.bytesize.to_s(16)}\r\n".b + piece + "\r\n".b : piece) }
        wire.write("0\r\n\r\n") if chunked

        expect(wire.response.body).to eq(size.to_s)
        # What the app has read is garbage for Ruby to collect, which it does only now and then.
        expect(peak(server) - before).to be < size / 2
      end
    end
  end
end
