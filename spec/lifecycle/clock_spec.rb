# frozen_string_literal: true

require "time"
require "tmpdir"

# The time of day is for people: what the server decides goes by a clock that is never set. An NTP server that corrects a machine,
# or a person who does, neither ends connections nor keeps them for ever.
RSpec.describe "a server whose machine's clock is set", :processes do
  day = 24 * 3600

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

  [day, -day].each do |shift|
    it "#{shift.positive? ? "ahead" : "back"} by a day serves on and keeps its connections" do
      set(0)
      server = boot("bounds.ru", "--queue-timeout", "600", "--request-timeout", "600",
                    env: { "LD_PRELOAD" => library, "CLOCK_SHIFT" => "#{@directory}/shift" }).ready
      kept = server.connect
      expect(kept.get("/").status).to eq(200)
      half = server.connect.write("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
      slow = server.connect(receive_buffer: 4096).request("GET", "/string")
      head = slow.read_until("\r\n\r\n")
      server.catch_up

      set(shift)

      expect(half.write("def").response.body).to eq("6")
      expect(kept.get("/").status).to eq(200)
      if shift.positive?
        # Set back, hyper goes on with the latest date that it has shown until the clock has come there again.
        Patience.until_true("a date of the new day") { (Time.httpdate(kept.get("/")["date"]) - Time.now - shift).abs < day / 2 }
      end
      expect(slow.bytes(Integer(head[/content-length: (\d+)/, 1])).bytesize).to eq(4 * 1024 * 1024)
      server.signal(:TERM)
      expect(server.exit_status).to eq(0)
    end
  end
end
