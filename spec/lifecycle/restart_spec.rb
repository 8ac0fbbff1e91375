# frozen_string_literal: true

# A server that starts again when a file is touched, as `bin/rails restart` does it.

RSpec.describe "touching the restart file", :processes do
  around { |example| Dir.mktmpdir { |directory| (@directory = File.realpath(directory)) && example.run } }

  # What the app says of itself, from a server that may be starting just now; nil when none answers.
  def id
    Wire.open("unix://#{@directory}/app.sock") { |wire| wire.get("/").body }
  rescue SystemCallError, HTTPResponse::Cut
    nil
  end

  def touch = FileUtils.touch("#{@directory}/tmp/restart.txt", mtime: Time.now + (@touched = @touched.to_i + 1))

  def restarted(from)
    touch
    Patience.until_true("another app to answer") { (now = id) && now != from && now }
  end

  it "puts the same command in the place of the process, as often as it is touched, and TERM still ends it with 0" do
    FileUtils.mkdir_p("#{@directory}/config")
    FileUtils.mkdir_p("#{@directory}/tmp")
    FileUtils.cp(fixture("restart.ru"), "#{@directory}/config.ru")
    File.write("#{@directory}/config/puma.rb", "plugin :tmp_restart\npidfile 'tmp/server.pid'\n")
    server = start("-b", "unix://#{@directory}/app.sock", "--termination-grace", 3600, chdir: @directory).ready
    first = id
    second = restarted(first)
    third = restarted(second)

    expect([first, second, third].map { |text| text.split.first.to_i }).to all(eq(server.pid))
    expect(File.read("#{@directory}/tmp/server.pid").to_i).to eq(server.pid)
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
    expect(server.output.scan("restarting, as tmp/restart.txt was touched").size).to eq(2)
    expect(server.output.scan("at_exit of the app").size).to eq(3)
    expect(File.exist?("#{@directory}/tmp/server.pid")).to be(false)
  end
end

# It was answered with "SIGUSR2 does nothing here" up to a moment after the line that says that the server is ready.
RSpec.describe "USR2 while the app is loaded", :processes do
  # It went on loading the app without a parent.
  it "ends the trial with the server" do
    server = boot("slow_boot.ru", "--drain-delay", 0)
    meet("boot").release
    server.ready.signal(:USR2)
    meet("boot")
    # Of the thread that restarts.
    trial, = Dir["/proc/#{server.pid}/task/*/children"].flat_map { |file| File.read(file).split.map(&:to_i) }
    server.signal(:TERM)
    expect(server.exit_status).to eq 0
    # Process 1 may take its time to wait for it.
    Patience.until_true("the trial's end") { !alive?(trial) || File.read("/proc/#{trial}/stat").include?(") Z ") }
  end

  it "restarts the server as soon as it is ready" do
    Dir.mktmpdir do |directory|
      server = start(fixture("restart_at_boot.ru"), "-b", "tcp://127.0.0.1:0", env: { "TOLD" => "#{directory}/told" })
      Patience.until_true("the next image to serve") { server.output.scan(ServerProcess::READY).size == 2 }

      expect(server.output).to include("restarting, as USR2 came")
      expect(Wire.open("tcp://127.0.0.1:#{server.port}") { |wire| wire.get("/").body }).to eq("served")
    end
  end
end
