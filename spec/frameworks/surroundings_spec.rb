# frozen_string_literal: true

# What surrounds a server - its sockets, its signals, what it is started by - beside Puma, which an app comes from.

RSpec.describe "the surroundings of a server, as under Puma", :frameworks, :gemfile_line, :processes do
  # Starts either server with these arguments, which both know.
  def start_server(name, *arguments, env: {}, **)
    needs "puma"
    return start("-C", "-", *arguments, env:, **) if name == :tidegate

    track(ServerProcess.new([*ServerProcess::RUBY.take(1), "-S", "puma", "-C", "-", *arguments.map(&:to_s)], env:, **))
  end

  def serves(process, name) = process.wait_for_line(name == :puma ? /Use Ctrl-C to stop/ : ServerProcess::READY)

  %i[puma tidegate].each do |name|
    describe name.to_s do
      it "makes a Unix socket that every user may connect to, and takes umask= and mode= at their word" do
        modes = { "" => 0o777, "?umask=0117" => 0o660, "?mode=0600" => 0o600 }
        paths = modes.values.to_h { |mode| [mode, "#{app_root}/#{mode}.sock"] }
        process = start_server(name, *modes.flat_map { |query, mode| ["-b", "unix://#{paths[mode]}#{query}"] }, fixture("hello.ru"))
        serves(process, name)

        expect(paths.transform_values { |path| File.stat(path).mode & 0o777 }).to eq(modes.values.to_h { |mode| [mode, mode] })
      end

      # As under foreman, for bin/dev.
      it "passes the app's lines on at once where the output is a pipe" do
        path = "#{app_root}/app.sock"
        File.write("#{app_root}/says.ru", "puts 'said at boot'\nrun ->(_env) { puts('said in the app') || [200, {}, ['x']] }\n")
        process = start_server(name, "-b", "unix://#{path}", "#{app_root}/says.ru")
        serves(process, name)

        expect(Wire.open("unix://#{path}") { |wire| wire.get("/").status }).to eq(200)
        expect([process.wait_for_line(/^said at boot$/), process.wait_for_line(/^said in the app$/)]).to all(be_truthy)
      end

      it "exits with the status that config.ru exits with, and with 1 and a backtrace in production when that raises" do
        File.write("#{app_root}/exits.ru", "exit 3\n")
        File.write("#{app_root}/raises.ru", "def database = raise(\"no database\")\ndatabase\n")

        exits = start_server(name, "-e", "production", "-b", "tcp://127.0.0.1:0", "#{app_root}/exits.ru")
        raises = start_server(name, "-e", "production", "-b", "tcp://127.0.0.1:0", "#{app_root}/raises.ru")
        expect([exits.exit_status, raises.exit_status]).to eq([3, 1])
        expect(raises.output).to include("no database").and match(/raises\.ru:2:in/)
        expect(exits.output).to match(name == :puma ? /SystemExit/ : /has ended this process, with exit status 3: .*exits\.ru:1/)
      end

      it "serves an app with non-ASCII source and configuration where LANG is C" do
        needs "puma"
        FileUtils.mkdir_p("#{app_root}/config")
        File.write("#{app_root}/config/puma.rb", "# caf\u00e9\nthreads 1, 2\n")
        File.write("#{app_root}/app.rb", "App = ->(_env) { [200, {}, [\"caf\u00e9\"]] }\n")
        File.write("#{app_root}/config.ru", "require_relative 'app'\nrun App\n")
        File.chmod(0o755, app_root)
        path = "#{app_root}/app.sock"
        arguments = name == :puma ? %w[-S puma] : ["-I#{ServerProcess::ROOT}/lib", "#{ServerProcess::ROOT}/exe/tidegate"]
        process = track(ServerProcess.new([*ServerProcess::RUBY.take(1), *arguments, "-b", "unix://#{path}"], chdir: app_root,
                                                                                                             env: { "LANG" => "C", "LC_ALL" => "C" }))
        serves(process, name)

        expect(Wire.open("unix://#{path}") { |wire| wire.get("/").body.b }).to eq("caf\u00e9".b)
      end
    end
  end

  it "runs as a daemon under rails server -d, with the pidfile of -P" do
    path = "#{app_root}/app.sock"
    parent = rails_server("-u", "tidegate", "-b", path, "-d")
    expect(parent.exit_status).to eq(0)
    pid = Patience.until_true("the daemon's pidfile") { File.read("#{@directory}/server.pid")[/\A\d+/]&.to_i if File.file?("#{@directory}/server.pid") }
    Patience.until_true("the daemon to listen") { File.socket?(path) && listens?(path) }

    expect(Wire.open("unix://#{path}") { |wire| wire.get("/up").status }).to eq(200)
    Process.kill(:TERM, pid)
    Patience.until_true("the daemon to remove its pidfile") { !File.exist?("#{@directory}/server.pid") }
    pid = nil
  ensure
    Process.kill(:KILL, pid) if pid # the example has failed
  end

  # The daemon binds before its app boots, and refuses clients until it listens.
  def listens?(path)
    UNIXSocket.open(path) { true }
  rescue SystemCallError
    false
  end
end
