# frozen_string_literal: true

require "stringio"
require "tmpdir"

RSpec.describe Tidegate::InheritedSockets do
  let(:err) { StringIO.new }
  let(:log) { Tidegate::Log.new(err:) }
  let(:taken) { [] }

  after { taken.each(&:close) }

  # A descriptor of a socket that listens on an address, as another process has left it open, and its number.
  def descriptor(address)
    socket = address.start_with?("/", "@") ? UNIXServer.new(address.sub(/\A@/, "\0")) : TCPServer.new(*address.split(" "))
    socket.autoclose = false
    socket.fileno
  end

  def local(number) = Socket.for_fd(number).tap { |socket| socket.autoclose = false }.local_address

  def configuration(flags = {}, **options)
    layer = Tidegate::Configuration::Layer.new
    options.merge(config: "-", **flags).each { |name, value| layer.set_named(name, value, "--#{name}") }
    Tidegate::Configuration.resolve(flags: layer)
  end

  # The descriptors are the object's own from now on.
  def take(env) = described_class.take(env, log).tap { |sockets| taken << sockets }

  # As after systemd has started this process with sockets, whose descriptors are elsewhere here.
  def activated(*numbers, names: "", pid: Process.pid)
    stub_const("#{described_class}::FIRST", numbers.first)
    env = { "LISTEN_FDS" => numbers.size.to_s, "LISTEN_PID" => pid.to_s, "LISTEN_FDNAMES" => names, "PORT" => "1" }
    take(env).tap { expect(env).to eq("PORT" => "1") }
  end

  it "are none where nothing was passed" do
    expect(described_class.take({}, log).settings(configuration(port: 80, host: "127.0.0.1")))
      .to eq(bind: ["tcp://127.0.0.1:80"], admin: nil, inherit: [])
  end

  it "are systemd's, beside the addresses that were set" do
    number = descriptor("127.0.0.1 0")
    address = "tcp://127.0.0.1:#{local(number).ip_port}"
    sockets = activated(number)

    expect(sockets.settings(configuration(bind: "tcp://127.0.0.1:80")))
      .to eq(bind: ["tcp://127.0.0.1:80", address], admin: nil, inherit: [[address, number, true]])
    expect(sockets.settings(configuration(bind: "tcp://127.0.0.1:80", bind_to_activated_sockets: "only"))).to include(bind: [address])
    expect(sockets.settings(configuration(bind: "tcp://127.0.0.1:80", bind_to_activated_sockets: false)))
      .to eq(bind: ["tcp://127.0.0.1:80"], admin: nil, inherit: [])
  end

  it "are systemd's instead of the default address" do
    number = descriptor("127.0.0.1 0")
    expect(activated(number).settings(configuration)[:bind]).to eq ["tcp://127.0.0.1:#{local(number).ip_port}"]
  end

  it "serve the configured address that is equal, as it is written there" do
    number = descriptor("127.0.0.1 0")
    port = local(number).ip_port
    written = "tcp://localhost:#{port}?backlog=5"
    expect(activated(number).settings(configuration(bind: written, bind_to_activated_sockets: false)))
      .to eq(bind: [written], admin: nil, inherit: [[written, number, true]])
  end

  # `ListenStream=9292` is [::]:9292, and 0.0.0.0:9292 cannot be bound beside it.
  it "serve all addresses of the machine, however that is written" do
    number = descriptor("0.0.0.0 0")
    address = "tcp://[::]:#{local(number).ip_port}"
    expect(activated(number).settings(configuration(bind: address))).to include(bind: [address], inherit: [[address, number, true]])
  end

  it "may be Unix sockets, by whatever path" do
    Dir.mktmpdir do |directory|
      File.symlink(directory, "#{directory}/link")
      number = descriptor("#{directory}/a.sock")
      written = "unix://#{directory}/link/a.sock"
      expect(activated(number).settings(configuration(bind: written))).to include(bind: ["#{written}?mode=0777"], inherit: [["#{written}?mode=0777", number, true]])
    end
  end

  ["by its address", "by the name admin"].each do |how|
    it "may be the admin listener's, #{how}" do
      number = descriptor("127.0.0.1 0")
      address = "tcp://127.0.0.1:#{local(number).ip_port}"
      sockets, more = how.include?("name") ? [activated(number, names: "admin"), {}] : [activated(number, names: "app"), { admin: address }]
      expect(sockets.settings(configuration(bind: "tcp://127.0.0.1:80", **more)))
        .to eq(bind: ["tcp://127.0.0.1:80"], admin: address, inherit: [[address, number, true]])
    end
  end

  it "are left to the process that they were passed to, with a line" do
    expect(activated(descriptor("127.0.0.1 0"), pid: 1).settings(configuration(port: 80, host: "127.0.0.1"))[:inherit]).to eq []
    expect(err.string).to match(/systemd has passed its sockets to process 1, and this is \d+: start the server with exec/)
  end

  it "are closed where no setting asks for them, and others are named" do
    number = descriptor("127.0.0.1 0")
    address = "tcp://127.0.0.1:#{local(number).ip_port}"
    sockets = activated(number)
    sockets.drop_unused(configuration(bind: "tcp://127.0.0.1:80", bind_to_activated_sockets: false), log)

    expect(err.string).to include "the socket #{address} that was passed to this process is not served: bind_to_activated_sockets is off"
    expect { IO.for_fd(number) }.to raise_error(Errno::EBADF)
  end

  it "are no datagram sockets, and none that are not there" do
    udp = UDPSocket.new
    udp.autoclose = false
    expect(activated(udp.fileno).settings(configuration)[:inherit]).to eq []
    expect(activated(4000).settings(configuration)[:inherit]).to eq []
    expect(err.string.lines.size).to eq 2
  end

  it "are passed on to the next image of the process, with the addresses that they were bound for" do
    numbers = [descriptor("127.0.0.1 0"), descriptor("127.0.0.1 0")]
    kept = "tcp://127.0.0.1:#{local(numbers.last).ip_port}"
    env, options = described_class.handed_on([["unix:///odd;=%.sock", numbers.first, false], [kept, numbers.last, true]])
    expect(options).to eq(numbers.to_h { |number| [number, number] })
    sockets = take(env)

    expect(env).to eq({})
    expect(sockets.settings(configuration(bind: "unix:///odd;=%.sock")))
      .to eq(bind: ["unix:///odd;=%.sock?mode=0777", kept], admin: nil, inherit: [["unix:///odd;=%.sock?mode=0777", numbers.first, false], [kept, numbers.last, true]])
  end

  it "may be told of in the environment although that is no option" do
    expect(Tidegate::Configuration.resolve(env: { described_class::VARIABLE => "tcp://h:1=5" }).warnings).to eq []
  end
end
