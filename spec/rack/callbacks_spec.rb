# frozen_string_literal: true

# rack.response_finished and rack.after_reply: each callback exactly once, whatever becomes of the request.

Protocols.describe("the callbacks of a request", :in_process) do
  let(:calls) { Queue.new }

  # A server with an app that registers callbacks and then does what the block does.
  def calling_back(lint: true, **options)
    run_server(lint:, **options) do |env|
      if env["PATH_INFO"] == "/"
        env["rack.response_finished"] << ->(*arguments) { calls << [:first, *arguments] }
        env["rack.response_finished"] << ->(*arguments) { calls << [:second, *arguments] }
        env["rack.after_reply"] << -> { calls << [:after_reply] }
        yield env
      else
        [200, { "content-type" => "text/plain" }, ["next"]]
      end
    end
  end

  def next_call = Patience.pop(calls)

  # What the callbacks of one request were told; makes sure that there were no more.
  def told
    names = Array.new(3) { next_call }.tap { expect(stop_servers && calls).to be_empty }
    expect(names.map(&:first)).to eq(%i[second first after_reply])
    expect(names[0][1..]).to eq(names[1][1..])
    names[0][1..]
  end

  def each_body(&each)
    Object.new.tap { |body| body.define_singleton_method(:each) { |&out| each.call(out) } }
  end

  it "run in reverse order with env, status and headers" do
    server = calling_back { |_env| [201, { "content-type" => "text/plain", "x-one" => "1" }, ["body"]] }
    expect(get(server, "/").body).to eq("body")

    env, status, headers, error = told
    expect([env["PATH_INFO"], status, headers["x-one"], error]).to eq(["/", 201, "1", nil])
  end

  it "run after a body that yields was sent and closed" do
    body = each_body { |out| out.call("a") }
    body.define_singleton_method(:close) { (@closed = true) }
    body.define_singleton_method(:closed?) { @closed }
    closed = Queue.new
    server = calling_back do |env|
      env["rack.response_finished"] << ->(*) { closed << body.closed? }
      [200, { "content-type" => "text/plain" }, body]
    end
    get(server, "/")

    expect(Patience.pop(closed)).to be(true)
  end

  it "get the exception when the app raises, and neither status nor headers" do
    server = calling_back { |_env| raise ArgumentError, "on purpose" }
    expect(get(server, "/").status).to eq(500)

    _, status, headers, error = told
    expect([status, headers, error.class, error.message]).to eq([nil, nil, ArgumentError, "on purpose"])
  end

  it "get the exception when the app raises in the middle of the body" do
    server = calling_back { |_env| [200, { "content-type" => "text/plain" }, each_body { |out| out.call("x").then { raise "on purpose" } }] }
    expect { get(server, "/") }.to raise_error(HTTPResponse::Cut)

    _, status, _, error = told
    expect([status, error.message]).to eq([200, "on purpose"])
  end

  it "get what the app was told when the client has gone" do
    body = each_body { |out| loop { out.call("x" * 10_000) } }
    server = calling_back { |_env| [200, { "content-type" => "text/plain" }, body] }
    wire = connect(server)
    wire.request("GET", "/").read_until("xxxx")
    wire.abort

    _, status, _, error = told
    expect([status, error.class]).to eq([200, Errno::EPIPE])
  end

  it "run when the app returns something that is no response" do
    server = calling_back(lint: false) { |_env| "nonsense" }
    expect(get(server, "/").status).to eq(500)

    expect(told.last).to be_a(TypeError)
  end

  it "run when a header cannot be sent" do
    server = calling_back(lint: false) { |_env| [200, { "x" => "a\0b" }, ["body"]] }
    expect(get(server, "/").status).to eq(500)

    expect(told.last).to be_a(TypeError)
  end

  it "run for HEAD" do
    server = calling_back { |_env| [200, { "content-type" => "text/plain" }, []] }
    connect(server).ask("HEAD", "/")

    expect(told[1]).to eq(200)
  end

  it "run when the thread is killed inside the app" do
    entered = Queue.new
    server = calling_back(lint: false) do |_env|
      entered << Thread.current
      Queue.new.pop
    end
    wire = connect(server)
    wire.request("GET", "/")
    Patience.pop(entered).kill

    expect(wire.response.status).to eq(500)
    expect(told[1..]).to eq([nil, nil, nil])
  end

  it "run when the thread is killed in the middle of the body" do
    entered = Queue.new
    body = each_body do |out|
      out.call("first")
      entered << Thread.current
      Queue.new.pop
    end
    server = calling_back(lint: false) { |_env| [200, {}, body] }
    wire = connect(server)
    wire.request("GET", "/")
    Patience.pop(entered).kill
    expect { wire.response }.to raise_error(HTTPResponse::Cut)

    expect(told[1]).to eq(200)
  end

  it "run when closing the body raises" do
    body = each_body { |out| out.call("whole") }
    body.define_singleton_method(:close) { raise "close failed" }
    server = calling_back { |_env| [200, { "content-type" => "text/plain" }, body] }
    expect(get(server, "/").body).to eq("whole")

    expect(told.last.message).to eq("close failed")
  end

  it "run when they are in a list that has taken the place of the server's" do
    server = run_server(lint: false) do |env|
      env["rack.after_reply"] = [-> { calls << :reply }]
      env["rack.response_finished"] += [->(*) { calls << :finished }]
      [200, {}, ["body"]]
    end
    get(server, "/")

    expect([next_call, next_call]).to eq(%i[finished reply])
  end

  it "that end the thread leave no gap in the pool" do
    entered = Queue.new
    server = run_server(lint: false, max_threads: 1) do |env|
      next [200, {}, ["served"]] unless env["PATH_INFO"] == "/"

      env["rack.response_finished"] << ->(*) { raise Exception, "past every rescue" } # rubocop:disable Lint/RaiseException
      entered << Thread.current
      Queue.new.pop
    end
    connect(server).request("GET", "/")
    thread = Patience.pop(entered)
    thread.report_on_exception = false
    thread.kill

    expect(get(server, "/next").body).to eq("served")
  end

  it "do not keep each other from running, and are logged when they raise" do
    server = calling_back do |env|
      env["rack.response_finished"] << ->(*) { raise "callback failed" }
      env["rack.after_reply"] << -> { raise "reply failed" }
      [200, { "content-type" => "text/plain" }, ["body"]]
    end
    wire = connect(server)

    expect(wire.get("/").body).to eq("body")
    expect(wire.get("/next").body).to eq("next")
    told
    expect(errors.wait_for(%r{^tidegate: GET /: rack.response_finished raised .*callback failed})).to be_truthy
    expect(errors.wait_for(%r{^tidegate: GET /: rack.after_reply raised .*reply failed})).to be_truthy
  end
end
