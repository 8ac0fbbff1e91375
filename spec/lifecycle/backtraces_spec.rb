# frozen_string_literal: true

# Where the threads are: on SIGPWR, and with shutdown_debug at the end.

RSpec.describe "the backtraces of all threads", :processes do
  def busy(server)
    server.connect.request("GET", "/wait")
    meet("wait")
  end

  title = %r{^  thread tidegate worker \d+ \((?:run|sleep[a-z_]*)\) serves GET /wait since [\d.]+ s$}
  # In its gets, or still in the puts that has told us that it is there, waiting for the GVL, or between the two.
  worker = /#{title}\n    \S+meeting\.rb:\d+:in /

  it "are printed on SIGPWR, with the request that each serves, and the server goes on", if: Signal.list.key?("PWR") do
    server = serve("endings.ru", "-t", 2)
    visitor = busy(server)
    server.signal(:PWR)
    server.wait_for_line(/^tidegate: SIGPWR: the backtraces of \d+ threads$/)
    server.wait_for_line(title)
    server.wait_for_line(/^  thread main \(sleep\)$/)
    expect(server.output).to match(worker)
    visitor.release("done")
    expect(server.get("/").status).to eq(200)
  end

  it "are one JSON object where the log is JSON" do
    server = serve("endings.ru", "-t", 2, "--log-format", "json", "--shutdown-debug", "true")
    visitor = busy(server)
    server.signal(:TERM)
    object = JSON.parse(server.wait_for_line(/^\{.*"event":"backtraces".*$/)[0])
    visitor.release("done")
    server.exit_status

    serving = object["threads"].find { |thread| thread["request"] }
    expect(serving["name"]).to match(/\Atidegate worker \d+\z/)
    expect(serving["request"]).to include("method" => "GET", "path" => "/wait", "seconds" => be_a(Float))
    expect(serving["backtrace"].join).to include("meeting.rb")
  end

  it "are printed with shutdown_debug when the server is told to stop" do
    server = serve("endings.ru", "-t", 2, "--shutdown-debug", "true")
    visitor = busy(server)
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: shutdown_debug: the backtraces of \d+ threads$/)
    server.wait_for_line(title)
    visitor.release("done")
    expect(server.exit_status).to eq(0)
    expect(server.output).to match(worker)
  end

  it "are printed with on_force only when the server is forced to stop" do
    Tempfile.create(%w[puma .rb]) do |file|
      file.write("shutdown_debug on_force: true\n")
      file.flush
      heard = [/^tidegate: closing: /, /^tidegate: SIGINT: still finishing/, /^tidegate: forcing: /]
      endings = [%i[TERM], %i[TERM INT INT]].map do |signals|
        server = serve("endings.ru", "-t", 2, "--shutdown-timeout", 3600, "-C", file.path)
        visitor = busy(server)
        signals.zip(heard) do |signal, line|
          server.signal(signal)
          server.wait_for_line(line)
        end
        visitor.release("done") if signals.size == 1
        [server.exit_status, server.output]
      end
      (graceful, quiet), (forced, loud) = endings

      expect([graceful, quiet.include?("backtraces")]).to eq([0, false])
      expect(forced).to eq(1)
      expect(loud).to match(/^tidegate: shutdown_debug, forced to stop: the backtraces of \d+ threads$/).and match(worker)
    end
  end
end
