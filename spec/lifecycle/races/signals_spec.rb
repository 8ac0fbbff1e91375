# frozen_string_literal: true

# Signals that come in pairs, to the whole group, or of another kind, each with a request in the accept queue.

RSpec.describe "signals that come with a request", :endings, :processes do
  # Long enough never to end by itself within an example.
  let(:endless) { 600 }

  def with_request(*signals)
    wire = nil
    stopping_meanwhile(*signals) { wire = server.connect.write(post("there")) }
    wire
  end

  context "without a drain delay" do
    let(:server) { serve("endings.ru") }

    [[:TERM], [:QUIT], [:INT], %i[TERM TERM], %i[TERM INT], %i[TERM QUIT], %i[INT INT]].each do |signals|
      it "#{signals.join(" and ")}: it is answered, and the process ends with 0" do
        expect_last_answer(with_request(*signals), "there", close: nil)
        expect(server.output).not_to include("forcing")
      end
    end

    it "TERM to the whole group: it is answered, and what the app is doing is finished" do
      busy = server.connect.request("GET", "/wait")
      slow = meet("wait")
      wire = nil
      server.frozen do
        wire = server.connect.write(post("there"))
        Process.kill(:TERM, -server.pid)
      end
      expect_answer(wire, "there", close: nil)
      slow.release("finished")

      expect_last_answer(busy, "finished")
    end
  end

  context "with a drain delay" do
    let(:server) { serve("endings.ru", "--drain-delay", endless) }

    it "TERM twice at once is TERM once: the kernel has only one to deliver" do
      expect(with_request(:TERM, :TERM).response.body).to eq("there")
      server.wait_for_line(/^tidegate: draining: SIGTERM/)
      3.times { expect(server.get("/").status).to eq(200) }

      expect(server.output).not_to include("closing")
    end

    it "INT beside TERM ends the delay" do
      expect_answer(with_request(:TERM, :INT), "there", close: nil)

      expect(server.exit_status).to eq(0)
      expect(server.output).to include("closing").and match(/exit=0/)
    end

    it "INT in the delay ends it, and what is in flight is finished" do
      busy = server.connect.request("GET", "/wait")
      slow = meet("wait")
      draining
      server.signal(:INT)
      server.wait_for_line(/^tidegate: closing: SIGINT/)
      slow.release("finished")

      expect_last_answer(busy, "finished")
    end

    it "TERM to the whole group begins it once" do
      Process.kill(:TERM, -server.pid)
      server.wait_for_line(/^tidegate: draining: SIGTERM/)
      expect(server.get("/").status).to eq(200)

      expect(server.output).not_to include("closing")
    end
  end
end
