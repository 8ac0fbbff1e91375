# frozen_string_literal: true

require "tmpdir"

RSpec.describe Tidegate::Systemd do
  # A server that is told to stop and has stopped when the spec says so.
  let(:server) do
    Struct.new(:addresses, :told, :phase) { def await_stop = told.pop }.new(["tcp://127.0.0.1:80"], Queue.new, :ready)
  end

  around do |example|
    Dir.mktmpdir do |directory|
      @path = "#{directory}/notify"
      Socket.open(:UNIX, :DGRAM) do |socket|
        socket.bind(Socket.sockaddr_un(@path))
        @socket = socket
        example.run
        server.phase = :stopped
        server.told.close
      end
    end
  end

  # The next message, within a time in which nothing else could be the matter.
  def message = @socket.wait_readable(10) && @socket.recv(1000)

  def systemd(**env) = described_class.from({ "NOTIFY_SOCKET" => @path }.merge(env.transform_keys(&:to_s)))

  it "is none where no socket is named" do
    expect(described_class.from({})).to be_nil
    expect(described_class.from("NOTIFY_SOCKET" => "vsock:2:3")).to be_nil
  end

  it "is told when the server serves, when it stops, and how long that may take" do
    systemd.accompany(server)
    expect(message).to eq "READY=1\nMAINPID=#{Process.pid}\nSTATUS=serving on tcp://127.0.0.1:80"
    server.phase = :draining
    server.told << true
    expect(message).to start_with "STOPPING=1\n"
    2.times { expect(message).to eq "EXTEND_TIMEOUT_USEC=5000000" }
  end

  it "is shown life as often as it wants" do
    systemd(WATCHDOG_USEC: "20000", WATCHDOG_PID: Process.pid.to_s).accompany(server)
    message
    3.times { expect(message).to eq "WATCHDOG=1" }
  end

  it "is shown none where that is another process's part" do
    expect(systemd(WATCHDOG_USEC: "20000", WATCHDOG_PID: "1").instance_variable_get(:@watchdog)).to be_nil
  end

  it "is told when a reload begins, with the time, and when it is over" do
    before = Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond)
    systemd.reloading("opening the logs anew")
    systemd.ready("serving")
    begun = message.match(/\ARELOADING=1\nMONOTONIC_USEC=(\d+)\nSTATUS=opening the logs anew\z/)
    expect(Integer(begun[1])).to be_between(before, Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond))
    expect(message).to eq "READY=1\nMAINPID=#{Process.pid}\nSTATUS=serving"
  end

  it "says how often it wants to be shown life" do
    expect(systemd(WATCHDOG_USEC: "30000000").alive_every).to eq 15.0
    expect(systemd.alive_every).to be_nil
  end

  it "may be away" do
    expect(described_class.new("/nonexistent/notify").notify("READY=1")).to be_nil
  end
end
