# frozen_string_literal: true

# What a proxy says of a connection stays with the worker that has read it: such a connection goes to no other, and has to be told to
# close when its worker leaves.
RSpec.describe "a cluster behind a proxy that speaks the PROXY protocol", :processes do
  def behind_proxy
    bind = "tcp://127.0.0.1:0?proxy_protocol=true"
    start("-b", bind, "--trusted-proxies", "loopback", *ProcessHelpers::USUAL.drop(4), "-w", 2, "--no-preload", fixture("cluster.ru")).ready
  end

  # A connection of the client with this address.
  def connect_client(server, address) = server.connect.write("PROXY TCP4 #{address} 198.51.100.1 4000 80\r\n")

  # A connection to each of the workers: pids to the client's address and its connection.
  def connect_to_each(server, pids)
    found = {}
    Patience.until_true("a connection to each of #{pids}") do
      address = "192.0.2.#{rand(1..250)}"
      wire = connect_client(server, address)
      pid, told = wire.get("/client").body.split
      expect(told).to eq address
      found[Integer(pid)] ||= [address, wire]
      pids.all? { |it| found.key?(it) }
    end
    found.values_at(*pids)
  end

  it "knows the client in each worker, and answers it while the workers are replaced" do
    server = behind_proxy
    before = wait_workers(server, 2)
    kept = connect_to_each(server, before)

    server.signal(:USR1)
    # Asked all the time, so that none is closed for its silence, unless this process is kept from it by a busy machine.
    Patience.until_true("the kept connections to be told to close") do
      kept.reject! do |address, wire|
        response = wire.get("/client")
        expect(response.body).to match(/\A(#{before.join("|")}) #{address}\z/)
        response.close?
      rescue HTTPResponse::Cut, Errno::EPIPE, Errno::ECONNRESET
        true
      end
      kept.empty?
    end
    before.each { |pid| wait_gone(pid) }
    expect(connect_to_each(server, wait_workers(server, 2)).size).to eq 2

    server.signal(:TERM)
    expect(server.exit_status).to eq 0
  end
end
