# frozen_string_literal: true

require "socket"
require_relative "../../bench/rollout/picker"
require_relative "../../bench/rollout/place"

# The relay that takes kube-proxy's place where there is no root.
RSpec.describe Rollout::Picker do
  # What a data plane knows of a pod.
  def pod(server) = Struct.new(:host, :port).new("127.0.0.1", server.local_address.ip_port)

  # A pod that says its name on each connection, then repeats what it is sent until that ends.
  def serve(name)
    server = TCPServer.new("127.0.0.1", 0)
    threads << Thread.new do
      loop do
        socket = server.accept
        threads << Thread.new do
          socket.puts(name)
          IO.copy_stream(socket, socket)
        rescue SystemCallError
          nil # the client has gone
        ensure
          socket.close
        end
      end
    rescue IOError
      nil # closed
    end
    servers << server
    server
  end

  def connect = TCPSocket.new(*picker.address)

  let(:threads) { Queue.new }
  let(:servers) { [] }
  let(:picker) { described_class.new(place: Rollout::Place.new) }

  after do
    picker.stop
    servers.each(&:close)
    threads.pop.join(5) until threads.empty?
  end

  it "refuses connections while there is no pod, also when there was one" do
    expect { connect }.to raise_error(Errno::ECONNREFUSED)

    one = pod(serve("one"))
    picker.route(one)
    connect.close
    picker.unroute(one)
    expect { connect }.to raise_error(Errno::ECONNREFUSED)
  end

  it "keeps a connection at its pod for its life, also when that gets no new ones" do
    one, two = pod(serve("one")), pod(serve("two"))
    picker.route(one)
    socket = connect
    expect(socket.gets).to eq("one\n")

    picker.route(two)
    picker.unroute(one)
    expect(connect.gets).to eq("two\n")
    socket.puts("still there")
    expect(socket.gets).to eq("still there\n")
  end

  it "asks every pod" do
    %w[one two].each { |name| picker.route(pod(serve(name))) }

    expect(Array.new(60) { connect.gets }.uniq.sort).to eq(%W[one\n two\n])
    expect(picker.counters).to eq(connections: 60, connect_errors: 0)
  end

  it "passes an end on, one direction at a time" do
    picker.route(pod(serve("one")))
    socket = connect
    socket.write("last words")
    socket.close_write

    expect(socket.read).to eq("one\nlast words")
  end

  it "ends a connection that its pod refuses, and asks no other" do
    gone = Socket.new(:INET, :STREAM)
    gone.bind(Addrinfo.tcp("127.0.0.1", 0)) # so that no other takes the port
    servers << gone
    picker.route(pod(gone))

    # A reset that is as early as the end of connect(2) is an end to Ruby, or an error of connect.
    expect { connect.readpartial(1) }.to raise_error { |error| expect([Errno::ECONNRESET, EOFError]).to include(error.class) }
    expect(picker.counters).to eq(connections: 1, connect_errors: 1)
  end

  it "passes a reset on" do
    server = TCPServer.new("127.0.0.1", 0)
    servers << server
    picker.route(pod(server))
    socket = connect
    peer = server.accept
    peer.write("a")
    socket.readpartial(1)
    peer.setsockopt(:SOCKET, :LINGER, [1, 0].pack("ii"))
    peer.close

    expect { socket.readpartial(1) }.to raise_error(Errno::ECONNRESET)
  end
end
