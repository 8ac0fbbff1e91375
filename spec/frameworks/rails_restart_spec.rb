# frozen_string_literal: true

# `bin/rails restart` touches tmp/restart.txt, which the generated config/puma.rb asks the server to watch.

RSpec.describe "rails server -u tidegate", :frameworks, :processes do
  it "starts again when tmp/restart.txt is touched, and Ctrl-C ends it with 0" do
    needs "railties", "activerecord", "actioncable", "sqlite3"
    @directory = Dir.mktmpdir("tidegate")
    app = File.join(Frameworks::EXAMPLES, "rails")
    server = track(ServerProcess.new([*ServerProcess::RUBY, "bin/rails", "server", "-u", "tidegate", "-b", "127.0.0.1", "-p", "0",
                                      "-e", "production", "-P", "#{@directory}/server.pid"],
                                     env: { "DATABASE" => "#{@directory}/notes.sqlite3" }, chdir: app)).ready
    FileUtils.touch("#{app}/tmp/restart.txt")
    Patience.until_true("the server to be ready again") { server.output.scan(/^tidegate: ready on /).size == 2 }
    port = server.output.scan(/^tidegate: ready on [^(]*?:(\d+)/).last.first

    expect(Wire.open("tcp://127.0.0.1:#{port}") { |wire| wire.get("/up").status }).to eq(200)
    expect(File.read("#{@directory}/server.pid").to_i).to eq(server.pid)
    server.signal(:INT)
    expect(server.exit_status).to eq(0)
  end
end
