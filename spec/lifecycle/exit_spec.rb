# frozen_string_literal: true

# The end of the process is native: whatever keeps Ruby from it, the process is gone a second before the platform would
# kill it, with the status of its drain.

RSpec.describe "the end of the process", :processes do
  # A budget of 1 s for the drain, and one more to be gone.
  let(:server) { holds }

  def holds(*, grace: 3, **) = serve("holds.ru", "--termination-grace", grace, *, **)

  # Returns when the app holds the GVL: nothing else in that process computes.
  def held(server = self.server)
    meet("holding").release
    before = server.cpu_ticks
    Patience.until_true("the app to compute") { server.cpu_ticks >= before + 20 }
  end

  # The drain has ended with 0 and the process lived on for as long as the app held the GVL.
  it "comes although a thread of the app holds the GVL, with the status of the drain" do
    server.get("/background")
    held
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    expect(server.output).to match(/exit=0.*^tidegate: exiting with 0 now: the server has stopped, and Ruby has not/m)
  end

  it "comes although a request holds the GVL, which is cut" do
    server.connect.request("GET", "/hold")
    held
    server.signal(:TERM)

    expect(server.exit_status).to eq(1)
    expect(server.output).to match(/exit=1/)
  end

  it "comes at once after the third signal" do
    server = holds(grace: 3600)
    server.connect.request("GET", "/hold")
    held(server)
    ["closing: SIGTERM", "SIGTERM: still finishing", "forcing: SIGTERM"].each do |line|
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: #{line}/)
    end

    expect(server.exit_status).to eq(1)
  end

  it "comes although a thread does not end when it is killed" do
    server.connect.request("GET", "/stubborn")
    meet("stubborn").release
    server.signal(:TERM)

    expect(server.exit_status).to eq(1)
  end

  it "comes although an at_exit block does not return" do
    server = holds(env: { "SPEC_HANGS_AT_EXIT" => "1" })
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    expect(server.output).to include("tidegate: exiting with 0 now")
  end

  it "leaves an at_exit block all the time that the platform leaves" do
    Dir.mktmpdir do |directory|
      path = File.join(directory, "at_exit")
      server = holds(grace: 30, env: { "SPEC_TAKES_ITS_TIME" => path })
      server.signal(:TERM)

      expect(server.exit_status).to eq(0)
      expect(File.read(path)).to eq("done")
    end
  end

  # The native side began to handle signals only when Ruby told it to after listening; where Ruby could not, no signal was handled.
  it "comes although Ruby cannot run any more since the moment in which the server began to listen" do
    server = holds(env: { "SPEC_HOLDS_AFTER_LISTEN" => "1" })
    held(server)
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    expect(server.output).to match(/closing: SIGTERM.*exit=0/m)
  end

  it "comes although the app holds the GVL while it is loaded" do
    server = boot("holds.ru", "--termination-grace", 3, env: { "SPEC_HOLDS_WHILE_LOADED" => "1" })
    held(server)
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    expect(server.output).to match(/\Atidegate: exiting with 0 now: told to end before it was ready/)
  end

  # Whatever ends the main thread ends the process: what is in flight is finished first, and the app's status counts.
  it "comes with the app's own status where a thread of the app exits, after what is in flight" do
    server = holds(grace: 3600)
    busy = server.connect.request("GET", "/wait")
    slow = meet("wait")
    server.get("/exit")
    server.wait_for_line(/^tidegate: closing: /)
    slow.release

    expect(busy.response.body).to eq("hello\n")
    expect(server.exit_status).to eq(7)
  end
end
