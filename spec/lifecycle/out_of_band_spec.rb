# frozen_string_literal: true

# The hook out_of_band runs between requests: after one, beside none.

RSpec.describe "the hook out_of_band", :in_process do
  let(:places) { Queue.new }
  let(:gates) { Hash.new { |hash, name| hash[name] = Queue.new } }

  # Says where it is, and waits to be let go.
  def stop_at(name)
    places << name
    Patience.pop(gates[name])
  end

  def serve_with(*hooks, threads: "2:2")
    run_server(threads:, out_of_band: hooks) do |env|
      stop_at(:app) if env["PATH_INFO"] == "/stop"
      [200, { "content-type" => "text/plain" }, [env["PATH_INFO"]]]
    end
  end

  before { %i[app hook].each { |name| gates[name] } }

  it "runs once after requests when none is left, and not before" do
    server = serve_with(-> { stop_at(:hook) })
    first = connect(server).request("GET", "/stop")
    expect(Patience.pop(places)).to eq(:app)
    expect(get(server, "/").status).to eq(200)
    expect(places).to be_empty
    gates[:app] << :go

    expect(first.response.status).to eq(200)
    expect(Patience.pop(places)).to eq(:hook)
    gates[:hook] << :go
    expect(get(server, "/").status).to eq(200)
    expect(Patience.pop(places)).to eq(:hook)
    gates[:hook] << :go
    Patience.until_true("the thread to wait again") { Thread.list.find { |thread| thread.name == "tidegate out of band" }.stop? }
    expect(places).to be_empty
  end

  it "has a request that comes meanwhile wait, and lets it go on" do
    server = serve_with(-> { stop_at(:hook) })
    expect(get(server, "/").status).to eq(200)
    expect(Patience.pop(places)).to eq(:hook)
    waiting = connect(server).request("GET", "/waiting")
    wait_for_stat(server, :queued, 1)
    expect(workers.all?(&:stop?)).to be(true)
    gates[:hook] << :go

    expect(waiting.response.body).to eq("/waiting")
    expect(Patience.pop(places)).to eq(:hook)
    gates[:hook] << :go
  end

  it "that raises is logged, and the next one and the server go on" do
    server = serve_with(-> { raise "from the hook" }, -> { places << :second })
    expect(get(server, "/").status).to eq(200)
    expect(Patience.pop(places)).to eq(:second)
    expect(errors.wait_for(/^tidegate: the hook out_of_band raised RuntimeError: from the hook/)).to be_truthy
    expect(get(server, "/").status).to eq(200)
  end

  it "whose thread is killed holds nothing up" do
    server = serve_with(-> { stop_at(:hook) })
    expect(get(server, "/").status).to eq(200)
    expect(Patience.pop(places)).to eq(:hook)
    Thread.list.find { |thread| thread.name == "tidegate out of band" }.kill
    expect(get(server, "/").status).to eq(200)
    expect(Patience.pop(places)).to eq(:hook)
    gates[:hook] << :go
  end

  it "runs beside no request of many clients" do
    inside = 0
    beside = Queue.new
    app = lambda do |_env|
      inside += 1
      sleep(0.001)
      inside -= 1
      [200, { "content-type" => "text/plain" }, ["x"]]
    end
    server = run_server(app, threads: "4:4", out_of_band: [-> { beside << inside && sleep(0.001) && (beside << inside) }])
    clients = Array.new(4) { Thread.new { connect(server).then { |wire| Array.new(50) { wire.get("/").status } } } }

    expect(clients.flat_map { |client| Patience.value_of(client) }.uniq).to eq([200])
    seen = [Patience.pop(beside)]
    seen << beside.pop until beside.empty?
    expect(seen.uniq).to eq([0])
  end
end
