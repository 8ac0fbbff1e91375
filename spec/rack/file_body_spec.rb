# frozen_string_literal: true

# Bodies that are files, or name one: the server reads them itself, and sends what `each` would yield.

require "delegate"
require "pathname"
require "tempfile"
require "tmpdir"

Protocols.describe("a response body that is a file", :in_process) do
  around { |example| Dir.mktmpdir("tidegate") { |directory| (@directory = directory) && example.run } }

  def file(content, name = "file") = File.join(@directory, name).tap { |path| File.binwrite(path, content) }

  # A body that names a file, and yields what is given; nothing given means that it is not to be asked.
  def naming(path, *yields)
    body = Object.new
    body.define_singleton_method(:to_path) { path }
    body.define_singleton_method(:each) { |&out| yields.empty? ? raise("the file is to be sent, not this") : yields.each(&out) }
    body
  end

  def answering(body, headers = {}) = run_server(lint: false) { |env| env["PATH_INFO"] == "/" ? [200, headers, body] : [200, {}, ["next"]] }

  def fetch(body, headers = {}) = get(answering(body, headers), "/")

  it "goes out whole, with its length, and is closed once" do
    content = Random.new(2).bytes(500_000)
    closed = Queue.new
    body = naming(file(content))
    body.define_singleton_method(:close) { closed << true }
    response = fetch(body)

    expect([response.body == content, response["content-length"]]).to eq([true, "500000"])
    Patience.pop(closed)
    stop_servers
    expect(closed).to be_empty
  end

  it "may be named by a Pathname" do
    expect(fetch(naming(Pathname(file("content")))).headers).to include("content-length" => ["7"])
  end

  it "is yielded where there is no such file, or no such name" do
    ["/nonexistent/file", "a\0b", nil, 42].each { |path| expect(fetch(naming(path, "from each")).body).to eq("from each") }
  end

  # The whole of it was sent, from its first byte on.
  it "is sent from where the app has read or seeked to" do
    path = file("0123456789" * 1000)
    [
      [File.open(path).tap { |io| io.seek(9990) }, "0123456789"],
      [File.open(path).tap { |io| io.read(9995) }, "56789"],
      [File.open(path).tap { |io| io.seek(-1, IO::SEEK_END) && io.ungetc(io.getc) }, "9"],
      [File.open(path).tap(&:read), ""],
      [Rack::BodyProxy.new(File.open(path).tap { |io| io.seek(9998) }) { nil }, "89"],
      [SimpleDelegator.new(File.open(path).tap { |io| io.seek(9997) }), "789"]
    ].each do |body, rest|
      response = fetch(body)

      expect([response.body, response["content-length"]]).to eq([rest, rest.bytesize.to_s])
    end
  end

  it "is what the app has written, if that is not at the file's end" do
    Tempfile.create("tidegate") do |io|
      io.write("written")
      io.pos = 3
      expect(fetch(io).body).to eq("tten")
    end
  end

  it "is a Tempfile, whether it has a name or not" do
    [true, false].each do |named|
      io = Tempfile.new("tidegate")
      io.write("content")
      io.rewind
      io.unlink unless named
      expect(fetch(io).body).to eq("content")
    end
  end

  it "is the file that the app has opened, whatever has that name by now" do
    io = File.open(path = file("the old one"))
    File.rename(file("the new one", "new"), path)
    expect(fetch(io).body).to eq("the old one")
    io = File.open(path)
    File.delete(path)
    expect(fetch(io).body).to eq("the new one")
  end

  it "is transcoded where Ruby does so" do
    expect(fetch(File.open(file("caf\xE9".b), "r:iso-8859-1:utf-8")).body).to eq("caf\u00E9".b)
  end

  it "is an error of the app where it is closed" do
    expect(fetch(File.open(file("x")).tap(&:close)).status).to eq(500)
    expect(errors.wait_for(/raised IOError: closed stream/)).to be_truthy
  end

  it "is empty where it is empty" do
    response = fetch(naming(file("")))

    expect([response.body, response["content-length"]]).to eq(["", "0"])
  end

  it "is yielded where its length is not what the system says" do
    skip "without /proc" unless File.exist?("/proc/self/status")
    expect(fetch(File.open("/proc/self/status")).body).to match(/^Threads:/)
    expect(fetch(naming("/proc/self/status", "from each")).body).to eq("from each")
  end

  it "is what each yields of an IO that is none" do
    reader, writer = IO.pipe
    writer << "through a pipe"
    writer.close
    reader.define_singleton_method(:to_path) { "/nonexistent" }
    expect(fetch(reader).body).to eq("through a pipe")
  end

  it "is yielded where the name is that of a directory or a device" do
    [@directory, "/dev/null", "/dev/zero"].each { |path| expect(fetch(naming(path, "from each")).body).to eq("from each") }
  end

  # To open a FIFO waits for a writer, and was done with the GVL held: no thread of Ruby's went on, not even to hear TERM.
  it "stops nothing else where it is a FIFO that has no writer" do
    File.mkfifo(fifo = File.join(@directory, "fifo"))
    go = Queue.new
    body = naming(fifo)
    body.define_singleton_method(:each) { |&out| out.call(File.read(fifo).tap { go << true }) }
    server = answering(body)
    waiting = connect(server).request("GET", "/")

    10.times { expect(get(server, "/next").body).to eq("next") }
    expect(waiting).to be_quiet
    File.write(fifo, "from the other end")
    expect(waiting.response.body).to eq("from the other end")
    Patience.pop(go)
  end

  it "is no longer than its content-length where it has grown" do
    wire = connect(answering(naming(file("0123456789")), { "content-length" => "4" }))

    expect(wire.get("/").body).to eq("0123")
    expect(wire.get("/next").body).to eq("next")
  end

  it "is sent in part by Rack::Files, which yields a part" do
    files = Rack::Files.new(@directory)
    file("0123456789")
    wire = connect(run_server(lint: false) { |env| files.call(env) })

    expect(wire.get("/file", { "range" => "bytes=2-4" }).body).to eq("234")
    expect(wire.get("/file", { "range" => "bytes=0-0,9-9" }).body).to include("\r\n0").and include("\r\n9")
    expect(wire.get("/file").body).to eq("0123456789")
    expect(wire.ask("HEAD", "/file")["content-length"]).to eq("10")
  end
end
