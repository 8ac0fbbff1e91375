# frozen_string_literal: true

require "json"

Protocols.describe("an error of the app", :in_process) do
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
    errors.wait_for(/^  .*:in /)
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
    server = run_server { |env| env["PATH_INFO"] == "/" ? throw(:uncaught) : [200, { "content-type" => "text/plain" }, ["next"]] }

    expect(get(server, "/").status).to eq(500)
    expect(get(server, "/next").body).to eq("next")
    expect(errors.wait_for(/UncaughtThrowError/)).to be_truthy
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

  # The log was written before the client was answered: with a full pipe that has no reader, no error was ever answered.
  it "is answered before it is logged, in whatever part of the request it came up" do
    writing = Queue.new
    go_on = Queue.new
    stuck = Class.new { define_method(:write) { |*text| writing << text.join and go_on.pop } }.new
    apps = {
      "the app" => ->(_env) { raise "on purpose" },
      "its headers" => ->(_env) { [200, { "x" => "a\0b" }, ["x"]] },
      "the headers of a body to be closed" => ->(_env) { [200, { "x" => "a\0b" }, Enumerator.new { |out| out << "x" }] },
      "its body" => ->(_env) { [200, {}, 42] }
    }
    before = $stderr
    $stderr = stuck
    apps.each do |where, app|
      server = run_server(app, lint: false)

      expect([where, get(server, "/").status]).to eq([where, 500])
      expect(Patience.pop(writing, "#{where} to be logged")).to start_with("tidegate: GET / raised ")
      go_on << 1
    end
  ensure
    go_on.close
    $stderr = before
  end

  # A request's path, an exception's message and the names of its class and its files are the client's or the app's: they
  # wrote lines of their own into the log, and what a terminal takes for a command.
  describe "with control characters in all that it says" do
    hostile = "a\nGET / forged\r\e[31m\u009B2J\u0085\u2028\u202E\x7F\t\u00E4\xFF"
    type = Class.new(StandardError) { define_singleton_method(:name) { "no name: #{hostile}" } }

    define_method(:raise_hostile) do
      error = type.new(hostile)
      error.set_backtrace(["file #{hostile}:1:in `x'", "second"])
      raise error
    end

    it "is logged in lines that are text, one for each thing" do
      server = run_server(lint: false) { |env| env["REQUEST_PATH"] = "/#{hostile}".b and raise_hostile }
      expect(get(server, "/").status).to eq(500)
      escaped = "a\\nGET / forged\\r\\x1b[31m\\u009b2J\\u0085\\u2028\\u202e\\x7f\\t\u00E4\\xff"

      expect(errors.wait_for(/^  second$/)).to be_truthy
      expect(errors.to_a).to match([a_string_matching(/\Atidegate: GET \/#{Regexp.escape(escaped)} raised #<Class:0x\h+>: #{Regexp.escape(escaped)}\z/),
                                    "  file #{escaped}:1:in `x'", "  second"])
    end

    it "is logged in one line of JSON where the log is JSON" do
      server = run_server(lint: false, log_format: "json") { |env| env["REQUEST_PATH"] = "/#{hostile}".b and raise_hostile }
      expect(get(server, "/", "x-request-id" => "one-2").status).to eq(500)
      line = errors.wait_for(/.+/).string

      expect(line).not_to match(/[[:cntrl:]\u2028\u202E]/)
      entry = JSON.parse(line)
      text = hostile.scrub { '\xff' }
      expect(entry).to include("level" => "error", "event" => "app_error", "method" => "GET", "path" => "/#{text}", "request_id" => "one-2",
                               "exception" => a_string_starting_with("#<Class:0x"), "backtrace" => ["file #{text}:1:in `x'", "second"])
      expect(entry["message"]).to start_with("GET /#{text} raised #<Class:0x").and end_with(text)
      expect(entry["time"]).to match(/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/)
    end

    it "is logged so from a callback as well, in JSON as in text" do
      app = lambda do |env|
        env["rack.response_finished"] << ->(*) { raise_hostile }
        [200, {}, ["x"]]
      end
      get(run_server(app, lint: false), "/")
      expect(errors.wait_for(%r{^tidegate: GET /: rack\.response_finished raised #<Class.*\\nGET / forged})).to be_truthy
      get(run_server(app, lint: false, log_format: "json"), "/")

      entry = JSON.parse(errors.wait_for(/^\{.*/)[0])
      expect(entry).to include("event" => "app_error", "message" => a_string_starting_with("GET /: rack.response_finished raised "))
    end
  end

  it "is logged with what had caused it" do
    server = run_server do
      raise KeyError, "the cause"
    rescue KeyError
      raise "the consequence"
    end
    get(server, "/")

    expect(errors.wait_for(/^  caused by KeyError: the cause$/)).to be_truthy
    expect(errors.to_s).to match(/\Atidegate: GET \/ raised RuntimeError: the consequence\n(  .*\n)+  caused by KeyError: the cause\n  .*app_error_spec\.rb/)
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
        expect(errors.wait_for(/./).string).to start_with("tidegate: GET / raised TypeError: the app returned #{value.inspect}, not [status, headers, body]")
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

    it "may be a status that HTTP does not define" do
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
      expect(errors.wait_for(/^tidegate: GET \/ raised RuntimeError: on purpose$/)).to be_truthy
      expect(get(server, "/next").status).to eq(500)
    end
  end
end
