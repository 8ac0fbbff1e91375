# frozen_string_literal: true

require "tmpdir"

RSpec.describe "What all clients together may use up", :processes do
  mega = 1024 * 1024
  length = 4 * mega

  def metric(server, name) = Wire.open(server.admin) { |wire| wire.get("/metrics").body }[/^#{name} (\S+)/, 1].to_f

  def resident(server) = File.read("/proc/#{server.pid}/status")[/^VmRSS:\s+(\d+)/, 1].to_i * 1024

  # Has so many clients ask and read nothing, each with a connection of its own.
  def slow_readers(server, target, count)
    Array.new(count) { server.connect(receive_buffer: 4096).request("GET", target) }
  end

  def answered(server, count)
    Patience.until_true("#{count} answers") { metric(server, "tidegate_app_time_seconds_count") >= count }
  end

  # With no more than this in a client's receive buffer, the kernel holds at most some megabytes of each response.
  describe "of memory" do
    before { skip "memory can be told by /proc only" unless File.exist?("/proc/self/status") }

    # 150 responses of 4 MB held 635 MB.
    ["/string", "/each", "/call"].each do |target|
      it "for responses from #{target} that are not read is bounded; nothing is lost, and others are served" do
        # On a busy machine the clients keep still for longer than clients may.
        server = serve("bounds.ru", "--admin", "tcp://127.0.0.1:0", "--buffer-limit", "16M", "--write-timeout", 3600, "--min-data-rate-grace", 3600)
        server.get(target)
        before = resident(server)
        wires = slow_readers(server, target, 150)
        answered(server, 151)
        Patience.until_true("what is unsent to be within the bound") { metric(server, "tidegate_buffered_bytes") <= 16 * mega }

        expect(server.get("/").body).to eq("hello\n")
        expect(metric(server, "tidegate_spilled_bytes_total")).to be > 100 * mega
        # Ruby frees its strings when its collector comes by, and the allocator gives memory back after a second: half of what was
        # unsent is a generous bound.
        Patience.until_true("the memory to be given back") { server.get("/collect") && resident(server) - before < 300 * mega }

        bodies = wires.first(10).map { |wire| wire.response.body }
        expect(bodies.uniq.map { |body| [body.bytesize, body[0, 16], body[-16..]] }).to eq([[length, "0123456789abcdef", "0123456789abcdef"]])
        server.signal(:INT)
        wires.each(&:close)
        expect(server.exit_status).to eq(0)
      end
    end

    # Each upload above 112 KB went to a file, and what was below it was bounded by nothing while the app had it.
    it "for uploads is bounded by what has come of them: many under way leave room for others, and take none when their clients go" do
      server = serve("bounds.ru", "--admin", "tcp://127.0.0.1:0", "--buffer-limit", "8M")
      buffered = -> { metric(server, "tidegate_buffered_request_bytes") }
      half = "0123456789abcdef" * (mega / 16)
      begun = Array.new(20) do
        server.connect.tap { |wire| wire.write("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: #{2 * mega}\r\n\r\n#{half}") }
      end
      Patience.until_true("some in memory, and the rest in files") { metric(server, "tidegate_spilled_bytes_total") + buffered.call == 20 * mega }
      expect(buffered.call).to be_between(mega, 8 * mega)

      expect(server.connect.post("/upload", "x" * 300_000).body).to eq("300000")
      begun.pop(10).each { |wire| expect(wire.write(half).response.body).to eq((2 * mega).to_s) }
      begun.each(&:close)
      Patience.until_true("what clients left behind to be gone") { buffered.call.zero? }
      spilled = metric(server, "tidegate_spilled_bytes_total")
      expect(server.connect.post("/upload", half).body).to eq(mega.to_s)
      expect(metric(server, "tidegate_spilled_bytes_total")).to eq(spilled)
    end

    it "that is used up costs small answers and uploads nothing but a file" do
      server = serve("bounds.ru", "--admin", "tcp://127.0.0.1:0", "--buffer-limit", "0")

      expect(server.get("/").body).to eq("hello\n")
      expect(server.get("/each").body.bytesize).to eq(length)
      expect(server.connect.post("/upload", "x" * 20_000).body).to eq("20000")
      expect(metric(server, "tidegate_buffered_bytes")).to eq(0)
    end

    it "is used up to twice its bound where there is no file; then a slow reader is cut visibly, and the log says so" do
      directory = Dir.mktmpdir
      server = serve("bounds.ru", "--admin", "tcp://127.0.0.1:0", "--buffer-limit", "3M", env: { "TMPDIR" => directory })
      server.get("/")
      Dir.rmdir(directory)
      kept = slow_readers(server, "/string", 1).first
      line = server.wait_for_line(%r{^tidegate: memory beyond buffer_limit is used: .* a file in #{directory}: .*}i)
      expect(line[0]).to match(/No such file/)
      # The second asks when the first is in memory: which of two that come together is cut, the disk decides.
      cut = slow_readers(server, "/string", 1).first
      server.wait_for_line(/^tidegate: a response was cut: buffer_limit is used up, .*: No such file/)

      expect(kept.bytes(length).bytesize).to eq(length)
      expect { cut.bytes(length) }.to raise_error(HTTPResponse::Cut)
      expect(server.get("/string").body.bytesize).to eq(length) # by one that reads
    end
  end

  describe "of time" do
    it "for a request body is bounded by a minimum rate: a byte now and then is not enough" do
      server = serve("bounds.ru", "--min-data-rate-grace", 1)
      wire = server.connect
      wire.write("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
      wire.write("x") until wire.socket.wait_readable(0.1)

      expect(wire.response.status).to eq(408)
    end

    it "for a response is bounded by it too, measured by what the client has taken" do
      server = serve("bounds.ru", "--min-data-rate-grace", 1, "--min-data-rate", "1M", "--admin", "tcp://127.0.0.1:0")
      wire = server.connect(receive_buffer: 4096).request("GET", "/string")
      # Some kilobytes a second.
      Patience.until_true("the server to end it") do
        wire.socket.read_nonblock(500, exception: false)
        metric(server, "tidegate_responses_too_slow_total") == 1
      end
      expect(server.get("/").body).to eq("hello\n")
    end

    it "for a request as a whole is bounded where that is set" do
      server = serve("bounds.ru", "--receive-timeout", 0.5)
      wire = server.connect
      wire.write("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
      wire.write("x" * 10_000) until wire.socket.wait_readable(0.01)

      expect(wire.response.status).to eq(408)
    end
  end

  describe "of file descriptors" do
    # At the limit the server took no more connections, probes among them, and the app could open no file.
    it "is kept below what there is: the longest silent give way, probes and the app go on" do
      server = serve("bounds.ru", "--admin", "tcp://127.0.0.1:0", "-t", "5", rlimit_nofile: [256, 256])
      address = server.address
      limit = metric(server, "tidegate_connections_limit")
      expect(limit).to be_between(60, 150)

      waits = server.connect.tap { |wire| wire.write("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na") }
      idle = Array.new(500) { Wire.open(address) }
      expect([server.probe("/livez"), server.probe("/readyz")]).to eq([200, 200])
      expect(server.get("/files").body).to eq("20")
      expect(waits.write("b").response.body).to eq("2") # a request under way is no silent connection
      expect(server.get("/string").body.bytesize).to eq(length)

      server.wait_for_line(/^tidegate: all #{limit.to_i} connections that there may be are open: .*max_connections/)
      expect_room_made(server, 400 - limit)
    ensure
      idle&.each(&:close)
    end

    # At least so many connections gave way, none could not be accepted, and the server ends well.
    def expect_room_made(server, count)
      expect(metric(server, "tidegate_connections_gave_way_total")).to be >= count
      expect(server.output).not_to include("cannot accept")
      server.signal(:TERM)
      expect(server.exit_status).to eq(0)
    end

    # A client that only connects to the encrypted port, and one of HTTP/2 without a stream, are silent too.
    it "is kept below what there is over TLS and HTTP/2 too" do
      server = start("-b", "tcp://127.0.0.1:0", "-b", Certificates.bind, *ProcessHelpers::USUAL.drop(4), "--admin", "tcp://127.0.0.1:0", "-t", "5",
                     fixture("bounds.ru"), rlimit_nofile: [256, 256]).ready
      plain, encrypted = server.addresses
      waits = [plain, encrypted].map do |address|
        server.connect(client: HTTP2Client, address:).request("POST", "/upload", { "content-length" => "2" }, end_stream: false).write("a")
      end
      idle = Array.new(200) { Wire.raw(encrypted.sub("https", "tcp")) } + Array.new(200) { HTTP2Wire.open(plain) }
      expect([server.probe("/livez"), server.probe("/readyz")]).to eq([200, 200])
      [plain, encrypted].product([Wire, HTTP2Client]).each do |address, client|
        expect(server.connect(client:, address:) { |wire| wire.get("/files").body }).to eq("20")
      end
      expect(waits.map { |client| client.write("b").half_close.response.body }).to eq(%w[2 2])

      expect_room_made(server, 200)
    ensure
      idle&.each(&:close)
    end

    # 400 half heads took them all, for ten seconds at the admin port and for the thirty of head_timeout at the app's.
    it "is kept below what there is for clients that send half a head too, to the admin port and to the app" do
      server = serve("bounds.ru", "--admin", "tcp://127.0.0.1:0", "-t", "5", "--head-timeout", "600", rlimit_nofile: [256, 256])
      half = []
      [server.admin, server.address].each do |address|
        half.concat(Array.new(400) { Wire.open(address).tap { |wire| wire.write("GET /livez HT") } })
        expect(Dir.children("/proc/#{server.pid}/fd").size).to be < 200 if File.exist?("/proc/self/fd")
        expect([server.probe("/livez"), server.probe("/readyz")]).to eq([200, 200])
        expect(server.get("/files").body).to eq("20")
      end

      expect(server.output).not_to include("cannot accept")
    ensure
      half&.each(&:close)
    end

    it "is not taken from requests: where no connection is silent, a new one waits for its turn" do
      server = serve("bounds.ru", "--admin", "tcp://127.0.0.1:0", "--max-connections", "3")
      busy = Array.new(3) { server.connect.tap { |wire| wire.write("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na") } }
      late = Array.new(3) { server.connect.request("GET", "/") }
      server.wait_for_line(/^tidegate: all 3 connections that there may be are open: none of them is silent/)
      expect(server.probe("/readyz")).to eq(200)
      expect(late).to all(be_quiet)

      busy.each { |wire| expect(wire.write("b").response.body).to eq("2") }
      expect(late.map { |wire| wire.response.body }.uniq).to eq(["hello\n"])
    end

    # On Ruby 3.3 the whole process stood still at the first thread that could not be started, and TERM ended it with requests unanswered.
    it "serves with the threads that it has where the system starts no more" do
      as_another = %w[setpriv --reuid=64321 --regid=64321 --clear-groups]
      skip "only root can be another user" unless system(*as_another, "test", "-r", fixture("bounds.ru"), err: File::NULL)

      command = [*as_another, *ServerProcess::RUBY, File.join(ServerProcess::ROOT, "exe/tidegate"), *ProcessHelpers::USUAL, "-t", "0:200", fixture("timeouts.ru")]
      server = track(ServerProcess.new(command.map(&:to_s), rlimit_nproc: [60, 60])).ready
      # As many as it takes: on a busy machine a hundred may come so slowly that sixty threads are enough for them.
      waiting = []
      Patience.until_true("the system to start no more") do
        waiting.concat(Array.new(20) { server.connect.request("GET", "/edge/x?1") }) if waiting.size < 400
        server.output.match?(/^tidegate: no thread can be started for another worker: .*; there are \d+$/)
      end
      expect(waiting.map { |wire| wire.response.status }.uniq).to eq [200]
      server.signal(:TERM)
      expect(server.exit_status).to eq 0
      expect(server.output.scan("no thread can be started").size).to be < 3
    end

    # More threads mean fewer connections where `ulimit -n` is low: no line said so.
    it "says at boot where there may be fewer connections than threads" do
      server = serve("bounds.ru", "-t", "0:400", rlimit_nofile: [600, 600])
      server.wait_for_line(/^tidegate: there may be \d+ connections \(max_connections; its default follows from ulimit -n\), so that not all of the 400 threads of max_threads can have a request$/)
      expect(serve("bounds.ru", "-t", "0:4", "--max-connections", 4).output).not_to include("there may be")
    end

    it "loses no client that waits at the limit when the server is told to stop" do
      server = serve("bounds.ru", "--max-connections", "1", "--drain-delay", "0")
      busy = server.connect.tap { |wire| wire.write("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na") }
      late = Array.new(5) { server.connect.request("GET", "/") }
      server.wait_for_line(/^tidegate: all 1 connection/)
      server.signal(:TERM)

      expect(late.map { |wire| wire.response.body }.uniq).to eq(["hello\n"])
      expect(busy.write("b").response.body).to eq("2")
      expect(server.exit_status).to eq(0)
    end

    it "is raised to what the system allows, as far as is sensible, by a process that is the server's own" do
      server = serve("bounds.ru", rlimit_nofile: [100, Process.getrlimit(:NOFILE).last])
      soft = File.read("/proc/#{server.pid}/limits")[/^Max open files\s+(\d+)/, 1].to_i

      expect(soft).to eq([Process.getrlimit(:NOFILE).last, 65_536].min)
    end

    it "stays as it is in a process that is another's", :in_process do
      before = Process.getrlimit(:NOFILE)
      run_server { |_env| [200, {}, []] }

      expect(Process.getrlimit(:NOFILE)).to eq(before)
    end
  end
end
