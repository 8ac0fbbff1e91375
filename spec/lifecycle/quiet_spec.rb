# frozen_string_literal: true

# A drain that looks at the connections that still come: it ends when none does, goes on while some do, and says so.

RSpec.describe "a drain", :processes do
  def told(server)
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: draining: SIGTERM/)
  end

  # Asks on new connections until a line matches.
  def ask_until(server, pattern)
    over = Thread.new { server.wait_for_line(pattern) }
    server.get("/") while over.alive?
    Patience.value_of(over)
  end

  describe "until no new client comes" do
    it "ends long before its delay when those who sent connections send none any more" do
      server = serve("drain.ru", "--drain-delay", 600, "--drain-until-quiet")
      300.times { server.get("/") }
      told(server)
      5.times { expect(server.get("/").status).to eq(200) }

      expect(server.wait_for_line(/^tidegate: closing: no more connections come/)).to be_truthy
      expect(server.exit_status).to eq(0)
      expect(server.output).to match(/; hint: connections came until \d\.\ds, and the drain ended after \d+\.\ds of its 600\.0s$/)
    end

    it "keeps its whole delay where no client came before, because that says nothing" do
      server = serve("drain.ru", "--drain-delay", 2.5, "--drain-until-quiet")
      told(server)

      expect(server.wait_for_line(/^tidegate: closing: (?<why>.*?);/)[:why]).to eq("time is up")
    end

    it "goes on past its delay while connections come, and says from where" do
      server = serve("drain.ru", "--drain-delay", 1, "--drain-until-quiet")
      told(server)
      line = ask_until(server, /^tidegate: draining on: the drain delay is over and new connections still come, the last \S+ s ago from 127\.0\.0\.1$/)
      expect(line).to be_truthy
      expect(server.get("/").status).to eq(200)

      expect(server.exit_status).to eq(0)
      expect(server.output.scan("draining on").size).to eq(1)
    end
  end

  it "of fixed length says that connections still came at its end, and from where" do
    server = serve("drain.ru", "--drain-delay", 0.5)
    told(server)
    begin
      loop { server.get("/") }
    rescue Errno::ECONNREFUSED
      nil
    end

    expect(server.exit_status).to eq(0)
    expect(server.output).to match(/^tidegate: late: \d+ connections? came at the end of the drain delay, the last 0\.\d s after the signal from 127\.0\.0\.1: requests are still routed here/)
    expect(server.output).to match(/ late_conns=[1-9]\d* .*; hint: connections came until 0\.\ds, so a drain_delay of 0\.5s is too short$/)
  end

  it "writes its summary to the termination log" do
    Dir.mktmpdir do |directory|
      server = serve("drain.ru", "--termination-log", "#{directory}/log")
      server.get("/")
      server.signal(:TERM)

      expect(server.exit_status).to eq(0)
      expect(File.read("#{directory}/log")).to match(/\Adrain: done in \d+\.\ds .* exit=0\n\z/)
    end
  end

  it "is not hastened by the HUP of a terminal, which ends a server that serves without a delay" do
    server = boot_with_terminal("drain.ru", "--drain-delay", 600).ready
    told(server)
    2.times { server.signal(:HUP) }
    server.wait_for_line(/^tidegate: SIGHUP: ignored, the server is stopping already/)
    expect(server.get("/").status).to eq(200)
    other = boot_with_terminal("drain.ru", "--drain-delay", 600).ready
    other.signal(:HUP)

    expect(other.wait_for_line(/^tidegate: closing: SIGHUP/)).to be_truthy
    expect(other.exit_status).to eq(0)
  end
end
