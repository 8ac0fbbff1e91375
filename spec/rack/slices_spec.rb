# frozen_string_literal: true

require "json"
require "timeout"

# A thread that computes is interrupted for others once it has had a time slice, and not before: what an app does between two
# pauses has always been nearly atomic. Ruby takes requests of this kind from 3.3 on. Ruby's own slices would end some of these
# examples as well, a little later, so its threads are given priority: 3 makes those eight times as long.
RSpec.describe "a request that computes", :in_process do
  before { skip "Ruby #{RUBY_VERSION} can't be asked" if Gem::Version.new(RUBY_VERSION) < Gem::Version.new("3.3") }

  let(:admin) { { admin: "tcp://127.0.0.1:0" } }
  let(:here) { Queue.new }

  def only_our_slices = Thread.current.priority = 3

  # Computes for so many milliseconds of this thread's own CPU time: what the machine does beside it changes nothing.
  def compute(milliseconds)
    now = -> { Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID, :float_millisecond) }
    done = now.call + milliseconds
    nil while now.call < done
  end

  # Without the garbage collector: at the end of a long run of specs it computes for longer than a slice, on whichever thread
  # allocates, and that thread is rightly interrupted.
  def without_collection
    GC.start
    GC.disable
    yield
  ensure
    GC.enable
  end

  def text(body) = [200, { "content-type" => "text/plain" }, [body.to_s]]

  def preemptions(server)
    stats = Wire.open(server.admin_address) { |wire| wire.get("/stats") }
    JSON.parse(stats.body).dig("tidegate", "preemptions")
  end

  # The response of a request that computes for as long as the block says, while it does.
  def beside(server, path = "/long")
    long = connect(server)
    long.request("GET", path)
    Patience.pop(here)
    yield
    long.response
  end

  # SQLite refuses to upgrade a snapshot that another transaction has overtaken, whatever the busy timeout: an app with
  # transactions that were interrupted after 5 ms had one request in 40 fail that never fails on Puma.
  it "is not interrupted between two pauses that are less than a slice apart" do
    inside = 0
    most = 0
    server = run_server(**admin, threads: "5:5") do |_env|
      only_our_slices
      sleep 0.001
      compute 5
      inside += 1
      most = [most, inside].max
      compute 10
      inside -= 1
      sleep 0.001
      text("x")
    end
    clients = Array.new(8) { connect(server) }
    round = lambda do
      before = preemptions(server)
      8.times do
        clients.each { |wire| wire.request("GET", "/") }
        expect(clients.map { |wire| wire.response.status }).to all(eq(200))
      end
      preemptions(server) - before
    end
    without_collection do
      # What else computes in this process, such as a thread that another example has left, is rightly interrupted, and counted here:
      # but not in each round.
      expect(Array.new(4) { round.call }).to include(0)
      expect(most).to eq(1)
    end
  end

  it "is interrupted by Ruby only where the time slice is 0" do
    entered = Queue.new
    server = run_server(**admin, time_slice: 0) do |env|
      env["PATH_INFO"] == "/long" ? (here << true) && (nil while entered.empty?) : entered << true
      text("x")
    end

    expect(beside(server) { expect(get(server, "/short").status).to eq(200) }.status).to eq(200)
    expect(preemptions(server)).to eq(0)
  end

  it "lets a request in beside it that came afterwards" do
    entered = Queue.new
    server = run_server(**admin) do |env|
      only_our_slices
      env["PATH_INFO"] == "/long" ? (here << true) && (nil while entered.empty?) : entered << true
      text("x")
    end

    expect(beside(server) { expect(get(server, "/short").status).to eq(200) }.status).to eq(200)
    expect(preemptions(server)).to be_positive
  end

  it "lets a thread of the app have its turn" do
    server = run_server(**admin) do |_env|
      only_our_slices
      done = Queue.new
      Thread.new { done << true }
      nil while done.empty?
      text("x")
    end

    20.times { expect(get(server, "/").status).to eq(200) }
    expect(preemptions(server)).to be_positive
  end

  it "is still ended by its Timeout, by Thread#raise and by Thread#kill" do
    server = run_server(**admin, threads: "0:4") do |env|
      only_our_slices
      case env["PATH_INFO"]
      when "/timeout"
        here << Thread.current
        begin
          Timeout.timeout(0.2) { loop { 1 + 1 } }
        rescue Timeout::Error
          text("timed out")
        end
      when "/raise", "/kill"
        here << Thread.current
        begin
          loop { 1 + 1 }
        rescue IOError => error
          text(error.message)
        end
      else
        text("x")
      end
    end
    busy = -> { 10.times { expect(get(server, "/").status).to eq(200) } }

    expect(beside(server, "/timeout", &busy).body).to eq("timed out")
    expect(ended(server, "/raise", busy) { |thread| thread.raise(IOError, "enough") }.body).to eq("enough")
    expect(ended(server, "/kill", busy, &:kill).status).to eq(500)
    expect(preemptions(server)).to be_positive
  end

  def ended(server, path, busy)
    wire = connect(server)
    wire.request("GET", path)
    thread = Patience.pop(here)
    busy.call
    yield thread
    wire.response
  end

  it "changes nothing about who holds a Mutex" do
    lock = Mutex.new
    inside = 0
    most = 0
    server = run_server(**admin) do |_env|
      lock.synchronize do
        inside += 1
        most = [most, inside].max
        deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 0.03
        nil while Process.clock_gettime(Process::CLOCK_MONOTONIC) < deadline
        inside -= 1
      end
      text("x")
    end
    clients = Array.new(6) { connect(server).tap { |wire| wire.request("GET", "/") } }

    expect(clients.map { |wire| wire.response.status }).to all(eq(200))
    expect(most).to eq(1)
  end
end

# The fallback: there Ruby's own slices of 100 ms remain, and no thread is asked for anything.
RSpec.describe "a request that computes, on a Ruby that can't be asked", :in_process do
  before { skip "Ruby #{RUBY_VERSION} can be asked" if Gem::Version.new(RUBY_VERSION) >= Gem::Version.new("3.3") }

  it "lets another in beside it by Ruby's own slices, is ended by its Timeout, and nothing is counted" do
    here, entered = Queue.new, Queue.new
    server = run_server(admin: "tcp://127.0.0.1:0", time_slice: 10) do |env|
      case env["PATH_INFO"]
      when "/short" then entered << true
      when "/long" then (here << true) && (nil while entered.empty?)
      else
        begin
          Timeout.timeout(0.2) { loop { 1 + 1 } }
        rescue Timeout::Error
          next [200, {}, ["timed out"]]
        end
      end
      [200, {}, ["x"]]
    end
    long = connect(server)
    long.request("GET", "/long")
    Patience.pop(here)

    expect(get(server, "/short").status).to eq(200)
    expect(long.response.status).to eq(200)
    expect(get(server, "/timeout").body).to eq("timed out")
    stats = Wire.open(server.admin_address) { |wire| wire.get("/stats") }
    expect(JSON.parse(stats.body).dig("tidegate", "preemptions")).to eq(0)
  end
end
