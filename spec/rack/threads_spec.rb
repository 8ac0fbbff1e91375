# frozen_string_literal: true

RSpec.describe "the threads that run the app", :in_process do
  it "have names" do
    server = run_server { |_env| [200, { "content-type" => "text/plain" }, [Thread.current.name]] }

    expect(get(server, "/").body).to match(/\Atidegate worker \d+\z/)
  end

  it "are Ruby threads with locals of their own, that last from one request to the next" do
    server = run_server(threads: "1:1") do |_env|
      Thread.current[:count] = Thread.current[:count].to_i + 1
      [200, { "content-type" => "text/plain" }, [Thread.current[:count].to_s]]
    end
    wire = connect(server)

    expect(Array.new(3) { wire.get("/").body }).to eq(%w[1 2 3])
  end

  it "run as many requests at a time as there may be" do
    here = Queue.new
    go = Queue.new
    server = run_server(threads: "0:3") do |_env|
      here << true
      go.pop
      [200, { "content-type" => "text/plain" }, ["x"]]
    end
    clients = Array.new(5) { connect(server).tap { |wire| wire.request("GET", "/") } }
    3.times { Patience.pop(here) }
    catch_up(server)

    expect(here).to be_empty
    expect(server.stats).to include(workers: 3, queued: 2)
    5.times { go << true }
    expect(clients.map { |wire| wire.response.status }).to all(eq(200))
  end

  it "are not there before they are needed, unless they are asked for" do
    app = ->(_env) { [200, { "content-type" => "text/plain" }, ["x"]] }
    run_server(app, threads: "0:4")
    expect(workers.size).to eq(0)
    wait_for_stat(run_server(app, threads: "2:4"), :workers, 2)
    expect(workers.size).to eq(2)
  end

  it "end when they have nothing to do, but for the fewest that there are to be, and come again" do
    here = Queue.new
    go = Queue.new
    ended = Queue.new
    server = run_server(threads: "1:3", idle_thread_timeout: 0.05, before_thread_exit: [-> { ended << true }]) do |_env|
      here << true
      Patience.pop(go)
      [200, { "content-type" => "text/plain" }, ["x"]]
    end
    2.times do
      clients = Array.new(3) { connect(server).tap { |wire| wire.request("GET", "/") } }
      3.times { Patience.pop(here) }
      expect(server.stats[:workers]).to eq(3)
      3.times { go << true }
      expect(clients.map { |wire| wire.response.status }).to all(eq(200))
      2.times { Patience.pop(ended) }
      Patience.until_true("one worker to be left") { workers.size == 1 }
      expect(server.stats[:workers]).to eq(1)
    end
  end

  # Ten thousand that had come and gone left 200 MB behind: nothing made the collector run.
  it "leave nothing behind after a rush: the collector runs when most of them are gone" do
    count = Tidegate::RetiredThreads::WORTH + 10
    here = Queue.new
    go = Queue.new
    server = run_server(threads: "0:#{count}", idle_thread_timeout: 0.05) do |_env|
      here << true
      go.pop
      [200, { "content-type" => "text/plain" }, ["x"]]
    end
    clients = Array.new(count) { connect(server).tap { |wire| wire.request("GET", "/") } }
    count.times { Patience.pop(here) }
    allow(Tidegate::Native).to receive(:trim_memory).and_call_original
    go.close
    expect(clients.map { |wire| wire.response.status }).to all(eq(200))
    Patience.until_true("the threads to be gone") { workers.empty? }
    expect(Tidegate::Native).to have_received(:trim_memory).at_least(:once)
  end

  it "are gone when the server has stopped" do
    # Another spec's, which has no server.
    others = Thread.list
    server = run_server(threads: "2:2") { |_env| [200, { "content-type" => "text/plain" }, ["x"]] }
    get(server, "/")
    stop_servers

    # Ruby lists a thread that was killed until that has run for the last time.
    Patience.until_true("all to be gone") { (Thread.list - others).map(&:name).grep(/tidegate/).empty? }
    expect(server.phase).to eq(:stopped)
  end
end
