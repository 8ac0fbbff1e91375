# frozen_string_literal: true

require "socket"

RSpec.describe "config/puma.rb as Rails generates it", :frameworks, :processes do
  let(:said) { "tidegate: config/puma.rb is used, as there is no config/tidegate.rb\n" }

  it "counts for tidegate: threads, port, pidfile and the plugin" do
    port = TCPServer.open("127.0.0.1", 0) { |server| server.local_address.ip_port }
    @directory = Dir.mktmpdir("tidegate")
    pidfile = "#{@directory}/app.pid"
    needs "railties", "activerecord", "actioncable", "sqlite3"
    server = track(ServerProcess.tidegate("-o", "127.0.0.1", "-e", "production", chdir: File.join(Frameworks::EXAMPLES, "rails"),
                                          env: { "DATABASE" => "#{@directory}/notes.sqlite3", "PIDFILE" => pidfile, "PORT" => port.to_s })).ready

    expect(server.output).to include(said, "(up to 3 threads;")
    expect(server.output).not_to include("does nothing here")
    expect(server.port).to eq(port)
    expect(File.read(pidfile).to_i).to eq(server.pid)
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
    expect(File.exist?(pidfile)).to be(false)
  end

  it "counts for rails server, below its own flags" do
    server = rails_server("-u", "tidegate", "-p", 0, env: { "RAILS_MAX_THREADS" => "4" }).ready

    expect(server.output).to include(said, "(up to 4 threads;")
    expect(server.port).not_to eq(3000)
    expect(server.get("/up").status).to eq(200)
  end
end
