# frozen_string_literal: true

RSpec.describe "the queue for Ruby threads", :in_process do
  let(:entered) { Queue.new }
  let(:go) { Queue.new }

  # An app with a route that stays until it is let go; it tells which requests it has run.
  def one_thread(**)
    run_server(threads: "1:1", **) do |env|
      entered << env["PATH_INFO"]
      Patience.pop(go) if env["PATH_INFO"].start_with?("/wait")
      [200, { "content-type" => "text/plain" }, [env["rack.input"].read]]
    end
  end

  def occupy(server)
    wire = connect(server)
    wire.request("GET", "/wait")
    expect(Patience.pop(entered)).to eq("/wait")
    wire
  end

  it "is not entered by an upload before it is whole" do
    server = one_thread
    slow = connect(server)
    slow.write("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nslow")
    catch_up(server)

    expect(get(server, "/other").status).to eq(200)
    expect(slow.write("body").response.body).to eq("slowbody")
    expect(Array.new(2) { entered.pop }).to eq(%w[/other /slow])
  end

  it "is served in the order of arrival" do
    server = one_thread
    first = occupy(server)
    others = Array.new(5) do |number|
      connect(server).tap do |wire|
        wire.request("GET", "/#{number}")
        catch_up(server)
      end
    end
    go << true
    [first, *others].each { |wire| expect(wire.response.status).to eq(200) }

    expect(Array.new(5) { entered.pop }).to eq(%w[/0 /1 /2 /3 /4])
  end

  it "answers 503 and when to come back when it is full, and keeps the connection" do
    server = one_thread(max_queue: 1)
    first = occupy(server)
    second = connect(server)
    second.request("GET", "/second")
    catch_up(server)
    third = connect(server)
    response = third.get("/third")

    expect([response.status, response["retry-after"], response.close?]).to eq([503, "1", false])
    go << true
    expect([first, second].map { |wire| wire.response.status }).to eq([200, 200])
    expect(third.get("/again").status).to eq(200)
    expect(Array.new(2) { entered.pop }).to eq(%w[/second /again])
  end

  it "answers 503 to what has waited for as long as it may, while the thread is still busy, and never runs it" do
    server = one_thread(queue_timeout: 0.05)
    first = occupy(server)
    late = connect(server)
    response = late.get("/late")

    expect([response.status, response["retry-after"], response.close?]).to eq([503, "1", false])
    expect(server.stats).to include(rejected: 1, queued: 0)
    go << true
    expect(first.response.status).to eq(200)
    expect(late.get("/again").status).to eq(200)
    expect(Array.new(1) { entered.pop }).to eq(%w[/again])
    expect(entered).to be_empty
  end

  it "drops the requests of clients that have gone, without running them" do
    server = one_thread
    first = occupy(server)
    gone = %i[close abort].map do |way|
      wire = connect(server)
      wire.request("GET", "/gone")
      catch_up(server)
      [wire, way]
    end
    stays = connect(server)
    stays.request("GET", "/stays")
    gone.each { |wire, way| wire.public_send(way) }
    catch_up(server)
    go << true

    expect([first, stays].map { |wire| wire.response.status }).to eq([200, 200])
    expect(entered.pop).to eq("/stays")
    expect(entered).to be_empty
    expect(server.stats[:client_gone]).to eq(2)
  end

  it "goes on after the client of the request that runs has gone" do
    server = one_thread
    occupy(server).abort
    catch_up(server)
    go << true

    expect(get(server, "/next").status).to eq(200)
    expect(errors.to_s).to eq("")
  end

  it "lets the server answer what is malformed while all threads are busy" do
    server = one_thread
    occupy(server)

    expect(connect(server).write("NONSENSE\r\n\r\n").response.status).to eq(400)
    go << true
  end
end
