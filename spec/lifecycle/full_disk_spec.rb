# frozen_string_literal: true

require "tmpdir"

# A disk that is full - of uploads, of logs, of what another program writes - fails what needs it, and nothing else.
RSpec.describe "a server on a full disk", :processes do
  megabyte = 1024 * 1024

  around { |example| Dir.mktmpdir { |directory| (@disk = directory) && example.run } }

  # The server with a disk of a megabyte of its own at @disk; pending where the kernel lets nobody mount.
  define_method(:serve_on_small_disk) do |*arguments|
    mounting = ["sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"', @disk]
    way = [%w[unshare --mount --propagation private], %w[unshare --user --map-root-user --mount]].find do |unshare|
      system(*unshare, *mounting, "true", out: File::NULL, err: File::NULL)
    end
    way or (ENV["CI"] == "true" && Process.uid.zero? ? raise("no mounts can be made here") : skip("no mounts can be made here"))
    command = [*ServerProcess::RUBY, "#{ServerProcess::ROOT}/exe/tidegate", *ProcessHelpers::USUAL.drop(4), *arguments, fixture("bounds.ru")]
    track(ServerProcess.new([*way, *mounting, *command.map(&:to_s)]))
  end

  # The disk as the server sees it.
  def file(server, name) = "/proc/#{server.pid}/root#{@disk}/#{name}"

  def fill(server)
    File.open(file(server, "filler"), "w") { |filler| loop { filler.syswrite("x" * 4096) } }
  rescue Errno::ENOSPC
    nil
  end

  it "refuses an upload that has no room with 507, keeps small ones, and takes large ones again when there is room" do
    server = serve_on_small_disk("-b", "tcp://127.0.0.1:0", "-b", Certificates.bind, "--spool-directory", @disk, "--buffer-limit", "2M",
                                 "--body-memory-limit", "112K").ready
    server.addresses.product([Wire, HTTP2Client]).each do |address, client|
      upload = ->(size) { server.connect(client:, address:) { |wire| wire.post("/upload", "x" * size) } }

      expect(upload.(4 * megabyte).status).to eq(507)
      expect(upload.(1000).body).to eq("1000")
      expect(upload.(megabyte / 2).body).to eq((megabyte / 2).to_s)

      fill(server)
      expect(upload.(megabyte / 2).status).to eq(507)
      File.delete(file(server, "filler"))
      expect(upload.(megabyte / 2).body).to eq((megabyte / 2).to_s)
    end
    server.wait_for_line(/No space left on device/)
  end

  it "takes uploads that memory has room for" do
    server = serve_on_small_disk("-b", "tcp://127.0.0.1:0", "--spool-directory", @disk, "--buffer-limit", "4M").ready
    upload = ->(size) { server.connect { |wire| wire.post("/upload", "x" * size) } }
    fill(server)

    expect(upload.(megabyte).body).to eq(megabyte.to_s)
    expect(upload.(3 * megabyte).body).to eq((3 * megabyte).to_s)
    expect(upload.(8 * megabyte).status).to eq(507)
    expect(upload.(megabyte).body).to eq(megabyte.to_s)
  end

  it "serves on while its lines have no room, and writes the next when there is" do
    server = serve_on_small_disk("-p", 0, "-o", "127.0.0.1", "-v", "--redirect-stdout", "#{@disk}/out")
    log = -> { File.exist?(file(server, "out")) ? File.read(file(server, "out")) : "" }
    Patience.until_true("the server to serve") { log.call.include?("ready on") }
    get = ->(target) { Wire.open("tcp://#{log.call[%r{ready on http://(\S+)}, 1]}") { |wire| wire.get(target).status } }
    expect(get.("/before")).to eq(200)
    Patience.until_true("a line") { log.call.include?("GET /before") }
    fill(server)
    statuses = Array.new(50) { get.("/#{"x" * 200}") }
    File.delete(file(server, "filler"))

    expect(statuses).to all(eq(200))
    Patience.until_true("a line behind the full disk") do
      get.("/after")
      log.call.include?("GET /after")
    end
  end
end
