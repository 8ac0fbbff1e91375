# frozen_string_literal: true

# A server that says something to a reader that does not read: what collects the logs hangs, or a terminal was stopped. Its
# lines were written on the I/O thread once, so that requests, probes and the drain hung as well, and TERM did not end the
# process any more.

RSpec.describe "a server with outputs that are full and not read", :processes do
  let(:server) { serve("endings.ru", "--admin", "tcp://127.0.0.1:0", "-v", "-t", "0:2", *arguments, **limits) }
  let(:arguments) { [] }
  let(:limits) { {} }

  def admin(path) = Wire.open(server.admin) { |wire| wire.get(path) }

  # The requests' lines alone are more than a pipe holds.
  def work(requests = 50)
    requests.times { expect(server.get("/").body).to eq("hello\n") }
  end

  it "serves, is probed, drains and ends" do
    admin("/livez")
    server.stop_hearing
    work
    expect(admin("/livez").status).to eq(200)
    expect(admin("/metrics").body).to match(/^tidegate_log_lines_lost_total\{log="server"\} 0$/)
    server.signal(:TERM)

    expect(server.status_at_end).to eq(0)
  end

  it "finishes what is in flight, and its last line is there when it is read again" do
    busy = server.connect.request("GET", "/wait")
    slow = meet("wait")
    server.stop_hearing
    3.times { server.signal(:USR1) } # about which Ruby has something to say
    server.signal(:TERM)
    Patience.until_true("the drain to begin") { server.probe("/readyz") == 503 }
    server.hear_again
    slow.release("finished")

    expect(busy.response.body).to eq("finished")
    expect(server.exit_status).to eq(0)
    expect(server.stdout.to_a.last).to match(/^tidegate: drain: done in .* exit=0/)
  end

  # The main thread says that it was stopped, and that must not keep it from stopping.
  it "ends on TERM while it boots" do
    server = boot("slow_boot.ru")
    meet("boot")
    server.stop_hearing
    server.signal(:TERM)

    expect(server.status_at_end).to eq(0)
  end

  it "is replaced a killed worker, and an ended hook's complaint keeps nothing from ending" do
    Tempfile.create(%w[tidegate .rb]) do |file|
      file.write("after_stopped { raise 'on purpose' * 10_000 }\nbefore_drain { raise 'on purpose' * 10_000 }\n")
      file.flush
      server = serve("holds.ru", "-C", file.path)
      server.stop_hearing
      server.get("/kill")
      3.times { expect(server.get("/").body).to eq("hello\n") }
      server.signal(:TERM)

      expect(server.status_at_end).to eq(0)
    end
  end

  context "without descriptors as well" do
    let(:limits) { { rlimit_nofile: [40, 40] } }

    it "goes on once there are some, and ends" do
      address = server.address
      server.stop_hearing
      # A bound on connections may refuse these before the descriptors are used up.
      wires = Array.new(60) { Wire.open(address) }
      wires.each(&:close)
      work(5)
      server.signal(:TERM)

      expect(server.status_at_end).to eq(0)
    end
  end

  context "with a reader that has gone" do
    it "serves, counts what it could not say, and ends" do
      admin = server.admin
      address = server.address
      server.close_outputs
      work
      Patience.until_true("the lines to be lost") do
        Wire.open(admin) { |wire| wire.get("/metrics").body }[/lines_lost_total\{log="access"\} (\d+)/, 1].to_i >= 50
      end
      server.signal(:TERM)

      expect([address, server.status_at_end]).to eq([server.address, 0])
    end
  end
end
