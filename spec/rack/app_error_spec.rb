# frozen_string_literal: true

RSpec.describe "an error of the app", :in_process do
  def raising(error = "a secret", **)
    run_server(**) { |env| env["PATH_INFO"] == "/" ? raise(error) : [200, { "content-type" => "text/plain" }, ["next"]] }
  end

  it "is answered with 500, and the connection goes on" do
    wire = connect(raising)

    expect(wire.get("/").status).to eq(500)
    expect(wire.get("/next").body).to eq("next")
  end

  it "is logged with method, path, class, message and backtrace" do
    connect(raising).post("/?token=hidden", "x")
    lines = errors.to_a

    expect(lines.first).to eq("tidegate: POST / raised RuntimeError: a secret")
    expect(lines[1]).to match(/\A  .*app_error_spec\.rb:\d+:in /)
  end

  it "shows nothing of itself to the client" do
    response = get(raising, "/")

    expect("#{response.headers} #{response.body}").not_to match(/secret|RuntimeError|\.rb|ruby|tidegate/i)
    expect(response.body).to eq("500 Internal Server Error\n")
  end

  it "shows itself to the client in development" do
    response = get(raising(environment: "development"), "/")

    expect(response.status).to eq(500)
    expect(response.body).to include("RuntimeError: a secret").and match(/app_error_spec\.rb:\d+/)
  end

  it "may be any exception, also one that is no StandardError" do
    [NotImplementedError.new("not yet"), LoadError.new("no such file"), SecurityError.new("no"), NoMemoryError.new("x"), SystemStackError.new("deep"),
     Exception.new("plain"), Interrupt.new("hm")].each do |error|
      server = raising(error)

      expect(get(server, "/").status).to eq(500)
      expect(get(server, "/next").body).to eq("next")
    end
  end

  it "may be a SystemExit, which does not end the server" do
    server = raising(SystemExit.new(3))

    expect(get(server, "/").status).to eq(500)
    expect(get(server, "/next").body).to eq("next")
  end

  it "may be infinite recursion" do
    recursive = ->(again) { again.call(again) }
    server = run_server { |env| env["PATH_INFO"] == "/" ? recursive.call(recursive) : [200, { "content-type" => "text/plain" }, ["next"]] }

    expect(get(server, "/").status).to eq(500)
    expect(get(server, "/next").body).to eq("next")
  end

  it "may be a throw without a catch" do
    server = run_server { |env| env["PATH_INFO"] == "/" ? throw(:nobody) : [200, { "content-type" => "text/plain" }, ["next"]] }

    expect(get(server, "/").status).to eq(500)
    expect(get(server, "/next").body).to eq("next")
    expect(errors.to_s).to include("UncaughtThrowError")
  end

  it "may have a message that is broken itself" do
    broken = Class.new(StandardError) { def message = raise("no message") }
    odd = Class.new(StandardError) { def message = nil }
    binary = RuntimeError.new("\xFF\xFE\nsecond line")
    [broken.new, odd.new, binary].each do |error|
      server = raising(error)

      expect(get(server, "/").status).to eq(500)
      expect(get(server, "/next").body).to eq("next")
    end
  end

  it "that cannot be logged is answered all the same" do
    server = raising
    failing = Class.new { def write(*) = raise(IOError, "closed") }.new
    before = $stderr
    $stderr = failing
    status = get(server, "/").status
    $stderr = before

    expect(status).to eq(500)
  ensure
    $stderr = before
  end

  describe "in what it returns" do
    # What comes of an app that returns +value+: the status, and what was logged.
    def returned(value)
      server = run_server(lint: false) { |env| env["PATH_INFO"] == "/" ? value : [200, {}, ["next"]] }
      wire = connect(server)
      status = wire.get("/").status
      expect(wire.get("/next").body).to eq("next")
      status
    end

    [nil, 42, "text", [], [200, {}], [200, {}, [], 1], {}].each do |value|
      it "is #{value.inspect} in the place of [status, headers, body]" do
        expect(returned(value)).to eq(500)
        expect(errors.to_s).to start_with("tidegate: GET / raised TypeError: the app returned #{value.inspect}, not [status, headers, body]")
      end
    end

    [0, 99, 100, 101, 103, 1000, -1, 2**64, nil, "abc", Object].each do |status|
      it "is the status #{status.inspect}" do
        expect(returned([status, {}, ["x"]])).to eq(500)
      end
    end

    it "may be a status that is text" do
      expect(returned(["201", {}, ["x"]])).to eq(201)
    end

    it "may be a status that nobody knows" do
      expect(returned([299, {}, ["x"]])).to eq(299)
      expect(returned([599, {}, ["x"]])).to eq(599)
    end

    it "may be a frozen response" do
      expect(returned([200, { "x" => "y".freeze }.freeze, ["x".freeze].freeze].freeze)).to eq(200)
    end

    it "may be an object that is an Array by to_ary" do
      expect(returned(Struct.new(:to_ary).new([200, {}, ["x"]]))).to eq(200)
    end
  end

  describe "with a lowlevel_error_handler" do
    def handled(handler) = run_server(lint: false, lowlevel_error_handler: handler) { |_env| raise ArgumentError, "on purpose" }

    it "is answered by it, which gets as much as it takes" do
      {
        -> { "none" } => "none", ->(error) { error.message } => "on purpose",
        ->(error, env) { "#{error.message} #{env["PATH_INFO"]}" } => "on purpose /",
        ->(error, env, status) { "#{error.message} #{env["PATH_INFO"]} #{status}" } => "on purpose / 500",
        ->(*all) { all.size.to_s } => "3"
      }.each do |text, expected|
        handler = Object.new
        handler.define_singleton_method(:arity) { text.arity }
        handler.define_singleton_method(:call) { |*arguments| [503, { "x-handled" => "yes" }, [text.call(*arguments)]] }
        response = get(handled(handler), "/")

        expect([response.status, response["x-handled"], response.body]).to eq([503, "yes", expected])
      end
      expect(errors.wait_for(/^tidegate: GET \/ raised ArgumentError: on purpose$/)).to be_truthy
    end

    it "is answered with the ordinary 500 when that raises as well" do
      server = handled(->(_error) { raise "handler failed" })

      expect(get(server, "/").status).to eq(500)
      expect(errors.wait_for(/^tidegate: GET \/: lowlevel_error_handler raised RuntimeError: handler failed$/)).to be_truthy
    end

    it "is answered with the ordinary 500 when that returns no response" do
      server = handled(->(_error) { "no response" })

      expect(get(server, "/").status).to eq(500)
      expect(errors.wait_for(/^tidegate: GET \/: lowlevel_error_handler raised /)).to be_truthy
    end

    it "is answered with 500, and the callbacks run, when the thread ends in that" do
      told = Queue.new
      server = run_server(lint: false, lowlevel_error_handler: ->(_error) { Thread.current.kill }) do |env|
        env["rack.response_finished"] << ->(*all) { told << all.size }
        raise "on purpose"
      end

      expect(get(server, "/").status).to eq(500)
      expect(Patience.pop(told)).to eq(4)
      expect(get(server, "/next").status).to eq(500)
    end
  end
end
