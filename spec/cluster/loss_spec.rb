# frozen_string_literal: true

# What clients of a cluster lose when its workers are killed or replaced under load. bench/chaos/run does the same for longer, with every
# kind of client.

require_relative "../../bench/chaos/processes"

RSpec.describe "a cluster under load", :processes do
  # A client that asks again and again until it is stopped: on one connection, or on a new one each time.
  def asker(server, keeps:)
    Thread.new do
      Thread.current.report_on_exception = false
      client = KeptClient.new(server.address)
      until @over
        port = client.wire.socket.local_address.ip_port
        begin
          status = client.get("/").status
          @failures << [port, status] unless status == 200
          @asked << true
          client.close unless keeps
        rescue HTTPResponse::Cut, SystemCallError, IOError => error
          @failures << [port, error.class]
          client.close
        end
      end
    ensure
      client&.close
    end
  end

  # Has clients ask until the block returns. Returns the failures: each with the client's port.
  def under_load(server, kept: 8)
    @over = false
    @asked = Queue.new
    @failures = Queue.new
    threads = Array.new(kept) { asker(server, keeps: true) } + Array.new(2) { asker(server, keeps: false) }
    yield
    @over = true
    threads.each { |thread| Patience.value_of(thread, "a client") }
    Array.new(@failures.size) { @failures.pop }
  ensure
    @over = true
  end

  # Waits until so many requests more were answered.
  def asked(count) = count.times { Patience.pop(@asked, "requests that are answered") }

  # Kills a worker while it stands still, and returns the clients' ports of the connections that it had.
  def kill(pid, port)
    Process.kill(:STOP, pid)
    Patience.until_true("#{pid} to stand still") { Chaos::Processes.state(pid) == "T" }
    Chaos::Processes.client_ports(pid, port).tap do
      Process.kill(:KILL, pid)
      wait_gone(pid)
    end
  end

  it "loses only what was in flight in workers that are killed, and leaves nothing behind in its master" do
    server = cluster(workers: 3)
    descriptors = Chaos::Processes.descriptors(server.pid)
    memory = Chaos::Processes.shared_memory(server.pid)
    held = []
    failures = under_load(server) do
      10.times do
        asked(20)
        held.concat(kill(wait_workers(server, 3).sample, server.port))
      end
      wait_workers(server, 3)
      asked(20)
    end

    expect(held.size).to be > 10
    expect(failures.reject { |port, _| held.include?(port) }).to eq []
    expect(Chaos::Processes.descriptors(server.pid)).to eq descriptors
    expect(Chaos::Processes.shared_memory(server.pid)).to eq memory
    expect(Chaos::Processes.group(server.pid)).to match_array([server.pid, *children(server.pid)])
  end

  it "loses nothing while its workers are replaced again and again" do
    server = cluster("--max-requests", 150, "--max-requests-jitter", 100)
    failures = under_load(server) do
      Patience.until_true("six workers to be replaced") { server.output.scan("(max_requests)").size >= 6 }
      asked(20)
    end
    expect(failures).to eq []
  end
end
