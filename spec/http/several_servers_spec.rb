# frozen_string_literal: true

RSpec.describe "several servers in one process", :in_process do
  def hello(name) = run_server { |_env| [200, { "content-type" => "text/plain" }, [name]] }

  def open_files = Dir.children("/proc/self/fd").size

  it "serve side by side, each its own app" do
    names = %w[one two three]
    servers = names.map { |name| hello(name) }

    expect(servers.map { |server| get(server, "/").body }).to eq(names)
    expect(servers.map(&:port).uniq.size).to eq(3)
  end

  it "stop one without the other" do
    first = hello("first")
    second = hello("second")
    first.stop

    expect(first.join(Patience::SECONDS)).to be(true)
    expect { get(first, "/") }.to raise_error(Errno::ECONNREFUSED)
    expect(get(second, "/").body).to eq("second")
  end

  it "may be started and stopped again and again, and leave no thread and no descriptor behind" do
    round = lambda do |number|
      server = Tidegate::Server.new(->(_env) { [200, {}, [number.to_s]] }, host: "127.0.0.1", port: 0, silent: true, threads: "0:2").start
      expect(get(server, "/").body).to eq(number.to_s)
      server.stop
      expect(server.join(Patience::SECONDS)).to be(true)
    end
    round.call(0)
    threads = Thread.list.size
    native = Dir.children("/proc/self/task").size
    files = open_files
    15.times(&round)

    expect(Thread.list.size).to eq(threads)
    # The last server's runtime may still be ending, which a thread of its own does; Ruby keeps a few native threads.
    Patience.until_true("native threads to end") { Dir.children("/proc/self/task").size <= native + 2 }
    Patience.until_true("descriptors to be closed") { open_files <= files }
  end

  it "may be stopped before they are started, twice, and joined by many" do
    server = Tidegate::Server.new(->(_env) { [200, {}, []] }, host: "127.0.0.1", port: 0, silent: true)
    server.stop
    expect(server.join(1)).to be(true)

    server = hello("x")
    joining = Array.new(3) { Thread.new { server.join } }
    2.times { server.stop }
    expect(joining.map { |thread| Patience.value_of(thread) }).to all(be(true))
    expect(server.exit_status).to eq(0)
  end

  it "finish what is in flight when they are stopped" do
    entered = Queue.new
    go = Queue.new
    server = run_server do |_env|
      entered << true
      Patience.pop(go)
      [200, { "content-type" => "text/plain" }, ["finished"]]
    end
    wire = connect(server)
    wire.request("GET", "/")
    Patience.pop(entered)
    server.stop
    Patience.until_true("the server to close") { server.phase == :closing }
    expect(server.join(0)).to be(false)
    go << true

    expect(wire.response.body).to eq("finished")
    wire.close
    expect(server.join(Patience::SECONDS)).to be(true)
    expect(server.exit_status).to eq(0)
  end

  it "serve everything new for the drain delay when they are drained, which a stop cuts short" do
    server = run_server(drain_delay: 600) { |_env| [200, { "content-type" => "text/plain" }, ["still here"]] }
    server.stop(drain: true)
    Patience.until_true("the server to drain") { server.phase == :draining }

    expect(get(server, "/").body).to eq("still here")
    server.stop
    expect(server.join(Patience::SECONDS)).to be(true)
  end

  it "are an error where the address is taken" do
    taken = hello("x").port
    threads = Thread.list.size

    expect { Tidegate::Server.new(->(_env) {}, host: "127.0.0.1", port: taken, silent: true).start }
      .to raise_error(Tidegate::BindError, "cannot listen on tcp://127.0.0.1:#{taken}: the address is already in use by another process")
    expect(Thread.list.size).to eq(threads)
  end

  it "may be forgotten" do
    10.times { Tidegate::Server.new(->(_env) {}, host: "127.0.0.1", port: 0, silent: true).bind }
    GC.start

    expect(get(hello("x"), "/").body).to eq("x")
  end
end
