# frozen_string_literal: true

require "fcntl"

# A server in a process of its app's own, which is told everything by its keywords.
RSpec.describe "an embedded server", :in_process do
  # Runs the block with these variables, as a pod that has lost its volume would have them.
  def with_env(variables)
    before = ENV.to_h.slice(*variables.keys)
    ENV.update(variables)
    yield
  ensure
    variables.each_key { |name| ENV[name] = before[name] }
  end

  it "does not look where it runs" do
    with_env("KUBERNETES_SERVICE_HOST" => "10.96.0.1", "container" => "podman") do
      server = run_server { |_env| [200, {}, []] }
      expect(server.plan).to include(drain_delay: 0.0, shutdown_timeout: 30.0, budget: nil)
    end
  end

  it "keeps request bodies where it was told to, whatever TMPDIR says" do
    app = ->(env) { [200, {}, [env["rack.input"].read.bytesize.to_s]] }
    with_env("TMPDIR" => "/nonexistent") do
      expect(Wire.open(run_server(app, body_memory_limit: 1000).addresses.first) { |wire| wire.post("/", "x" * 300_000) }.body).to eq("300000")
      elsewhere = run_server(app, body_memory_limit: 1000, spool_directory: "/nonexistent")
      expect(Wire.open(elsewhere.addresses.first) { |wire| wire.post("/", "x" * 300_000) }.status).to eq(507)
    end
  end

  it "reads no variable of the environment and no option from it" do
    with_env("TIDEGATE_ADMIN_TOKEN" => "0123456789abcdef", "TIDEGATE_ADMIN" => "tcp://127.0.0.1:0", "PORT" => "1") do
      server = run_server { |_env| [200, {}, []] }
      expect(server.admin_address).to be_nil
      expect(get(server, "/").status).to eq(200)
    end
  end

  it "stops by itself when it has had no request for idle_timeout" do
    server = run_server(idle_timeout: 0.1) { |_env| [200, {}, []] }
    expect(Patience.value_of(Thread.new { server.join })).to be(true)
  end

  it "refuses what only the command carries out, instead of doing nothing" do
    { puma_compat: true, pidfile: "x", redirect_stdout: "x", tag: "x", after_booted: -> {} }.each do |name, value|
      expect { Tidegate::Server.new(nil, name => value) }
        .to raise_error(Tidegate::ConfigurationError, "#{name} cannot be set for a server within a process: it is for the command `tidegate`")
    end
  end

  it "waits for a server's end as long as it is told, however long that is" do
    server = run_server { |_env| [200, {}, []] }
    waiting = Thread.new { server.join(1e19) }
    server.stop

    expect(Patience.value_of(waiting)).to be(true)
  end

  describe "that cannot begin, because another has begun to listen on its address meanwhile" do
    # Both are bound, which the system allows until one of them listens.
    def listen_on(port)
      Socket.new(:INET, :STREAM).tap do |socket|
        socket.setsockopt(:SOCKET, :REUSEADDR, true)
        socket.bind(Addrinfo.tcp("127.0.0.1", port))
        socket.listen(1)
      end
    end

    it "leaves no thread behind" do
      port = TCPServer.open("127.0.0.1", 0) { |server| server.local_address.ip_port }
      before = Thread.list
      app = ->(_env) { [200, {}, []] }
      server = Tidegate::Server.new(app, host: "127.0.0.1", port:, min_threads: 2, silent: true).bind
      other = listen_on(port)

      expect { server.start }.to raise_error(Tidegate::BindError, /another process is listening on it already|in use/)
      Patience.until_true("the threads to end") { (Thread.list - before).none? { |thread| thread.name&.start_with?("tidegate") } }
    ensure
      other&.close
    end
  end
end
