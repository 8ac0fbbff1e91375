# frozen_string_literal: true

require "time"
require "tmpdir"

# The time of day is for people: what the server decides goes by a clock that is never set. An NTP server that corrects a machine,
# or a person who does, neither ends connections nor keeps them for ever.
RSpec.describe "a server whose machine's clock is set", :processes do
  day = 24 * 3600
  length = 4 * 1024 * 1024

  around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

  def library
    "#{@directory}/clock.so".tap do |library|
      built = system(ENV.fetch("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", library, fixture("clock.c"), "-ldl")
      built or skip("no C compiler is here")
    end
  end

  def set(seconds)
    File.write("#{@directory}/new", seconds.to_s)
    File.rename("#{@directory}/new", "#{@directory}/shift")
  end

  # A request of which half the body has come.
  def begin_upload(client)
    return client.request("POST", "/upload", { "content-length" => "6" }, end_stream: false).write("abc") if client.is_a?(HTTP2Client)

    client.write("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
  end

  def end_upload(client) = (client.is_a?(HTTP2Client) ? client.write("def").half_close : client.write("def")).response

  [day, -day].each do |shift|
    it "#{shift.positive? ? "ahead" : "back"} by a day serves on and keeps its connections" do
      set(0)
      server = start("-b", "tcp://127.0.0.1:0", "-b", Certificates.bind, *ProcessHelpers::USUAL.drop(4), "--queue-timeout", 600, "--request-timeout", 600,
                     fixture("bounds.ru"), env: { "LD_PRELOAD" => library, "CLOCK_SHIFT" => "#{@directory}/shift" }).ready
      ways = server.addresses.product([Wire, HTTP2Client])
      begun = ways.map { |address, client| Array.new(3) { server.connect(client:, address:, receive_buffer: 4096) } }
      begun.each do |kept, half, slow|
        expect(kept.get("/").status).to eq(200)
        begin_upload(half)
        slow.wire.opens_windows = false if slow.is_a?(HTTP2Client)
        slow.request("GET", "/string").read_until("0123456789")
      end
      server.catch_up

      set(shift)

      begun.each do |kept, half, slow|
        expect(end_upload(half).body).to eq("6")
        expect(kept.get("/").status).to eq(200)
        Patience.until_true("a date of the new day") { (Time.httpdate(kept.get("/")["date"]) - Time.now - shift).abs < day / 2 }
        [0, slow.stream].each { |stream| slow.wire.send_window_update(stream, 8 * 1024 * 1024) } if slow.is_a?(HTTP2Client)
        expect(slow.bytes(length - 10).bytesize).to eq(length - 10)
      end
      server.signal(:TERM)
      expect(server.exit_status).to eq(0)
    end
  end
end
