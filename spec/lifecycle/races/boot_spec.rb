# frozen_string_literal: true

# TERM at every stage of the boot: every accepted client is answered, and the process ends with 0.

RSpec.describe "TERM during boot", :endings, :processes do
  let(:directory) { Dir.mktmpdir }

  after { FileUtils.rm_rf(directory) }

  # A server with that configuration, which may meet the spec.
  def boot_with(configuration, app = "endings.ru", *flags)
    path = File.join(directory, "tidegate.rb")
    File.write(path, "require #{fixture("meeting.rb").dump}\n#{configuration}")
    start("-p", port, "-o", "127.0.0.1", "-C", path, "--termination-grace", 3600, *flags, fixture(app), env: rendezvous.env)
  end

  # Chosen before, to knock at before the server says it.
  let(:port) { TCPServer.open("127.0.0.1", 0) { |free| free.local_address.ip_port } }
  let(:address) { "tcp://127.0.0.1:#{port}" }

  it "ends it while the configuration is read" do
    server = boot_with('Meeting.at("configuration")')
    booting = meet("configuration")
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    expect(booting.gone).to be(true)
    expect(server.output).to include("stopped by SIGTERM before it was ready")
  end

  it "ends it while the app is loaded, when no client can connect yet" do
    server = boot_with("", "slow_boot.ru")
    booting = meet("boot")
    expect { Wire.open(address) }.to raise_error(Errno::ECONNREFUSED)
    server.frozen { server.signal(:TERM) }

    expect(server.exit_status).to eq(0)
    expect(booting.gone).to be(true)
    expect { Wire.open(address) }.to raise_error(Errno::ECONNREFUSED)
  end

  context "when it listens" do
    attr_reader :server

    it "answers those who came, while its threads are still being prepared" do
      @server = boot_with('before_thread_start { Meeting.at("thread") }', "endings.ru", "-t", "1:1")
      preparing = meet("thread")
      server.ready
      wires = Array.new(3) { |number| Wire.open(address).write(post(number.to_s)) }
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: closing: SIGTERM/)
      preparing.release

      wires.each_with_index { |wire, number| expect_answer(wire, number.to_s) }
      expect(server.exit_status).to eq(0)
    end

    it "answers those who came, while the hooks of the boot run" do
      @server = boot_with('after_booted { Meeting.at("booted") }')
      booted = meet("booted")
      wires = []
      stopping_meanwhile { 5.times { |number| wires << Wire.open(address).write(post(number.to_s)) } }
      wires.each_with_index { |wire, number| expect_answer(wire, number.to_s, close: nil) }
      booted.release

      expect(server.exit_status).to eq(0)
    end

    # Wherever the signal finds it: either it says that it was never ready, or it has said that it is.
    it "loses no client, whenever the signal comes" do
      10.times do |turn|
        @server = boot_with("", "slow_boot.ru")
        booting = meet("boot")
        knocking = Thread.new { knock_until_refused }
        booting.release
        server.signal(:TERM) if turn.odd?
        server.wait_for_line(turn.odd? ? /stopped by SIGTERM|closing/ : /^tidegate: ready on/)
        server.signal(:TERM) if turn.even?
        outcomes = Patience.value_of(knocking)

        expect(server.exit_status).to eq(0)
        expect(outcomes.uniq - ["booted\n"]).to be_empty, "#{outcomes.tally}\n#{server.output}"
      end
    end
  end

  # What came of each connection, until no connection can be made any more.
  def knock_until_refused
    outcomes = []
    loop do
      outcomes << Wire.open(address) { |wire| wire.get("/").body }
    rescue Errno::ECONNREFUSED
      break outcomes unless server.alive?
    rescue StandardError => error
      outcomes << error.inspect
    end
  end
end
