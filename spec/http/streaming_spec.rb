# frozen_string_literal: true

Protocols.describe("a streamed response", :in_process) do
  let(:go) { Queue.new }

  # The end of the response's body, and that nothing came before it.
  def expect_end(wire)
    if http2? then expect(wire.rest).to eq("")
    else expect(wire.read_until("0\r\n\r\n").delete_prefix("\r\n")).to eq("0\r\n\r\n")
    end
  end

  def events_of(go)
    Enumerator.new do |out|
      3.times do |number|
        out << "data: #{number}\n\n"
        Patience.pop(go)
      end
    end
  end

  it "arrives as it is made: the first event before the second is thought of" do
    server = run_server { |_env| [200, { "content-type" => "text/event-stream" }, events_of(go)] }
    wire = connect(server)
    wire.request("GET", "/")

    3.times do |number|
      expect(wire.read_until("data: #{number}\n\n")).to be_truthy
      expect(wire.read_until("\r\n")).to eq("\r\n") unless http2? # the end of the chunk
      expect(wire).to be_quiet
      go << true
    end
    expect_end(wire)
  end

  it "arrives as it is made also by a body that is called", rack: "3.0".. do
    queue = go
    body = proc do |stream|
      3.times do |number|
        stream.write("data: #{number}\n\n")
        Patience.pop(queue)
      end
      stream.close
    end
    server = run_server { |_env| [200, { "content-type" => "text/event-stream" }, body] }
    wire = connect(server)
    wire.request("GET", "/")

    3.times do |number|
      expect(wire.read_until("data: #{number}\n\n")).to be_truthy
      go << true
    end
    expect_end(wire)
  end

  it "begins with its head, before the first part is made" do
    body = Enumerator.new { |out| out << Patience.pop(go) }
    server = run_server { |_env| [200, { "content-type" => "text/plain" }, body] }
    wire = connect(server)
    wire.request("GET", "/")

    if http2? then expect(wire.head.status).to eq(200)
    else expect(wire.read_until("\r\n\r\n")).to start_with("HTTP/1.1 200 OK\r\n")
    end
    go << "part"
    wire.read_until("part")
    expect_end(wire)
  end

  it "does not pile up in memory for a client that does not read" do
    made = 0
    body = Enumerator.new { |out| loop { (made += 1) && out << ("x" * 100_000) } }
    server = run_server(threads: "1:1") { |_env| [200, { "content-type" => "text/plain" }, body] }
    wire = connect(server, receive_buffer: 4096)
    wire.wire.opens_windows = false if http2?
    wire.request("GET", "/").read_until("xxx")
    before = -1
    Patience.until_true("the app to be held back") { before == made || !(before = made) }

    expect(made).to be < 200 # 20 MB: the kernel's buffers and ours
  end

  it "tells the app when its client has gone" do
    left = Queue.new
    body = Object.new
    body.define_singleton_method(:each) do |&out|
      loop { out.call("x" * 1000) }
    rescue SystemCallError => error
      left << error
    end
    server = run_server { |_env| [200, { "content-type" => "text/plain" }, body] }
    wire = connect(server)
    wire.request("GET", "/").read_until("xxx")
    wire.close

    expect(Patience.pop(left)).to be_a(Errno::EPIPE)
  end
end
