# frozen_string_literal: true

# Accept queues of every kind of listener at the moment when it closes.

RSpec.describe "TERM and listeners", :endings, :processes do
  def listening(*addresses)
    flags = addresses.flat_map { |address| ["-b", address] }
    start(*flags, "-C", "-", "--termination-grace", 3600, "-t", "5:5", fixture("endings.ru"), env: rendezvous.env).ready
  end

  # Puts 20 connections to each address before the server while it stands still, with TERM; half of them say something
  # at once, the others when the listeners are closed.
  def fill_queues
    wires = []
    stopping_meanwhile do
      server.addresses.product((0...20).to_a) do |address, number|
        wires << [Wire.open(address), "#{address} #{number}"]
        wires.last.then { |wire, body| wire.write(post(body)) } if number.even?
      end
    end
    server.wait_for_line(/^tidegate: listeners closed/)
    wires.each_slice(2) { |_, (wire, body)| wire.write(post(body)) }
  end

  def expect_all_answered
    wires = fill_queues
    wires.each { |wire, body| expect_answer(wire, body, close: nil) }

    expect(server.exit_status).to eq(0)
    expect(summary).to include(requests: be_between(wires.size / 2, wires.size), cut: 0, rejected_503: 0)
    expect(summary.values_at(:told_close, :idle_closed).sum).to eq(wires.size) # idle where the signal was seen after the answer
  end

  context "with a Unix socket" do
    let(:directory) { Dir.mktmpdir }
    let(:server) { listening("unix://#{directory}/app.sock") }

    after { FileUtils.rm_rf(directory) }

    it "answers all that were in its accept queue" do
      expect_all_answered
      expect(Dir.children(directory)).to be_empty
    end

    it "answers on connections that it has, and lets no new ones come" do
      wire = server.connect
      wire.get("/")
      closing
      server.wait_for_line(/^tidegate: listeners closed/)
      expect { server.connect }.to raise_error(Errno::ENOENT)
      wire.write(post("after"))

      expect_last_answer(wire, "after")
    end

    it "answers a request that was in our receive buffer on an idle connection" do
      wire = server.connect
      wire.get("/")
      stopping_meanwhile { wire.write(post("in time")) }

      expect_last_answer(wire, "in time", close: nil)
    end
  end

  context "with IPv6" do
    let(:server) { listening("tcp://[::1]:0") }

    it("answers all that were in its accept queue") { expect_all_answered }
  end

  context "with an address for both versions" do
    let(:server) { listening("tcp://[::]:0") }

    it "answers all that were in its accept queue" do
      wires = []
      stopping_meanwhile do
        %w[127.0.0.1 [::1]].each { |host| 10.times { wires << Wire.open("tcp://#{host}:#{server.port}").write(post(host)) } }
      end

      outcomes = wires.map { |wire| wire.response.then { |it| [it.status, it.body] } }

      expect(outcomes.tally).to eq([200, "127.0.0.1"] => 10, [200, "[::1]"] => 10)
      wires.each(&:close)
      expect(server.exit_status).to eq(0)
    end
  end

  context "with two TCP listeners and a Unix socket" do
    let(:directory) { Dir.mktmpdir }
    let(:server) { listening("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", "unix://#{directory}/app.sock") }

    after { FileUtils.rm_rf(directory) }

    it("answers all that were in their accept queues") { expect_all_answered }
  end
end
