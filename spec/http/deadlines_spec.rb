# frozen_string_literal: true

RSpec.describe "a client that takes its time", :in_process do
  # Nothing but the deadline under test may be over within an example.
  def patient(lint: true, **options, &)
    app = block_given? ? nil : ->(env) { [200, { "content-type" => "text/plain" }, [env["rack.input"].read]] }
    run_server(*app, lint:, **options, &)
  end

  it "and sends nothing is closed without a word" do
    wire = connect(patient(first_data_timeout: 0.2))

    expect(wire).to be_eof
  end

  it "and sends half a head gets 408 and is closed" do
    wire = connect(patient(head_timeout: 0.2))
    wire.write("GET / HTTP/1.1\r\nHost:")
    response = wire.response

    expect([response.status, response.close?]).to eq([408, true])
    expect(wire).to be_eof
  end

  it "and sends its head in drops is not given more time for each" do
    server = patient(head_timeout: 0.5)
    wire = connect(server)
    dropping = Thread.new do
      wire.write("GET / HTTP/1.1\r\nHost: a\r\nX-Drops: ")
      loop do
        break if wire.raw.wait_readable(0.05)

        wire.write("x")
      end
    rescue SystemCallError
      nil # closed while a drop was under way
    end
    Patience.value_of(dropping)

    expect(wire.response.status).to eq(408)
  end

  it "and sends half a head on a kept connection gets 408" do
    wire = connect(patient(head_timeout: 0.2))
    wire.get("/")
    wire.write("GET / HT")

    expect(wire.response.status).to eq(408)
    expect(wire).to be_eof
  end

  it "and sends half a body gets 408 and is closed" do
    wire = connect(patient(body_timeout: 0.2))
    response = wire.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").response

    expect([response.status, response.close?]).to eq([408, true])
    expect(wire).to be_eof
  end

  it "and keeps an idle connection is closed without a word" do
    wire = connect(patient(persistent_timeout: 0.2))

    expect(wire.get("/").status).to eq(200)
    expect(wire).to be_eof
  end

  it "is waited for when there is no limit" do
    server = patient(first_data_timeout: nil, head_timeout: nil, body_timeout: nil, persistent_timeout: nil, write_timeout: nil)
    wire = connect(server)
    catch_up(server)
    wire.write("POST / HTTP/1.1\r\n")
    catch_up(server)
    wire.write("Host: a\r\nContent-Length: 4\r\n\r\nab")
    catch_up(server)

    expect(wire.write("cd").response.body).to eq("abcd")
    expect(wire.get("/").status).to eq(200)
  end

  it "is not closed while the app takes its own" do
    go = Queue.new
    server = patient(first_data_timeout: 0.1, head_timeout: 0.1, body_timeout: 0.1, persistent_timeout: 0.1, write_timeout: 0.1) do |_env|
      Patience.pop(go)
      [200, { "content-type" => "text/plain" }, ["at last"]]
    end
    wire = connect(server)
    wire.request("GET", "/")
    expect(connect(server)).to be_eof # a tenth of a second later
    expect(connect(server)).to be_eof
    go << true

    expect(wire.response.body).to eq("at last")
  end

  it "is not closed while a stream is silent" do
    go = Queue.new
    body = Enumerator.new do |out|
      out << "first;"
      Patience.pop(go)
      out << "second"
    end
    server = patient(first_data_timeout: 0.1, write_timeout: 0.1) { |_env| [200, { "content-type" => "text/plain" }, body] }
    wire = connect(server)
    wire.request("GET", "/").read_until("first;")
    expect(connect(server)).to be_eof
    expect(connect(server)).to be_eof
    go << true

    expect(wire.read_until("0\r\n\r\n")).to include("second")
  end

  describe "to read" do
    # More than the kernel's buffers hold for a client that reads nothing.
    let(:chunk) { "x" * 32_000_000 }

    it "is closed, and its Ruby thread is free again: each gets an exception and the body is closed" do
      events = Queue.new
      body = Object.new
      body.define_singleton_method(:each) do |&out|
        loop { out.call("x" * 1_000_000) }
      rescue SystemCallError => error
        events << error
        raise
      end
      body.define_singleton_method(:close) { events << :closed }
      server = patient(write_timeout: 0.3, threads: "1:1") { |env| [200, { "content-type" => "text/plain" }, env["PATH_INFO"] == "/" ? body : ["next"]] }
      wire = connect(server, receive_buffer: 4096)
      wire.request("GET", "/")

      expect(Patience.pop(events, "an exception in each")).to be_a(Errno::EPIPE)
      expect(Patience.pop(events, "the body to be closed")).to eq(:closed)
      expect(get(server, "/next").body).to eq("next")
      expect { wire.response }.to raise_error(HTTPResponse::Cut)
      expect(errors.to_s).to eq("")
    end

    it "a response that is whole already is closed, and has cost no Ruby thread" do
      server = patient(write_timeout: 0.3, threads: "1:1") { |env| [200, { "content-type" => "text/plain" }, [env["PATH_INFO"] == "/" ? chunk : "next"]] }
      wire = connect(server, receive_buffer: 4096)
      wire.request("GET", "/")

      expect(get(server, "/next").body).to eq("next")
      wait_for_stat(server, :connections, 0)
      expect { wire.response }.to raise_error(HTTPResponse::Cut)
    end

    it "but reads is served to the end" do
      server = patient(write_timeout: 5) { |_env| [200, { "content-type" => "text/plain" }, [chunk]] }
      wire = connect(server, receive_buffer: 4096)

      expect(wire.get("/").body.bytesize).to eq(chunk.bytesize)
    end
  end
end
