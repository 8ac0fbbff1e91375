# frozen_string_literal: true

# The ways to start a server from a shell.

RSpec.describe "the command", :processes do
  describe "tidegate" do
    it "prints its version" do
      process = start("--version")

      expect([process.exit_status, process.stdout.to_s, process.stderr.to_s]).to eq([0, "tidegate #{Tidegate::VERSION} (Ruby #{RUBY_VERSION})\n", ""])
    end

    it "prints its help" do
      process = start("-h")

      expect(process.exit_status).to eq(0)
      expect(process.stdout.to_s).to include("Usage: tidegate", "--drain-delay", "--bind", "--threads", "config.ru")
    end

    it "prints with --check what TERM would do, without loading the app, and fails where that does not fit" do
      plan = ->(*more) { start("--check", "-p", 3000, "-o", "127.0.0.1", "-C", "-", *more, fixture("load_error.ru")).tap(&:wait_exit) }
      good = plan.("--drain-delay", 5, "--termination-grace", 30, "--admin", "tcp://0.0.0.0:9394")

      expect([good.exit_status, good.stdout.to_a.first(2).map(&:chomp)]).to eq([0, [
        "listens on tcp://127.0.0.1:3000; probes on tcp://0.0.0.0:9394",
        "on TERM serves everything new for 5.0 s (drain_delay), then finishes what is in flight for up to 23.0 s (shutdown_timeout); " \
        "is gone 28.0 s after TERM, before the platform's KILL"
      ]])
      bad = plan.("--drain-delay", 40, "--termination-grace", 30)
      expect(bad.exit_status).to eq(1)
      expect(bad.stdout.to_s).to match(/^drain_delay 40\.0 s does not fit: the platform gives 30\.0 s/)
    end

    it "prints with --check every setting with its value and where that was set" do
      check = start("--check", "-p", 0, "-C", "-", fixture("hello.ru"), env: { "TIDEGATE_DRAIN_DELAY" => "7" }).tap(&:wait_exit)

      expect(check.stdout.to_s).to match(/^port +0 +-p/).and match(/^drain_delay +7 +environment variable TIDEGATE_DRAIN_DELAY$/)
        .and match(/^queue_timeout +none +default$/)
    end

    it "tries with --check whether the addresses can be had" do
      port = serve("hello.ru").port
      check = ->(*bind) { start("--check", "-C", "-", *bind.flat_map { |each| ["-b", each] }, fixture("hello.ru")).tap(&:wait_exit) }
      taken = check.("tcp://127.0.0.1:#{port}", "tcp://127.0.0.1:0")
      expect([taken.exit_status, taken.stdout.to_s]).to match([0, /^cannot listen on tcp:\/\/127\.0\.0\.1:#{port} now: Address already in use/])
      expect(taken.stdout.to_s.scan("cannot listen").size).to eq(1)

      nowhere = check.("unix:///nonexistent/app.sock")
      expect([nowhere.exit_status, nowhere.stdout.to_s]).to match([1, %r{^cannot listen on unix:///nonexistent/app\.sock\S* now: the directory does not exist$}])
    end

    it "says how an address is written that is a port alone" do
      process = start("--admin", "9394", "-C", "-", fixture("hello.ru"))

      expect([process.exit_status, process.stderr.to_s]).to match([1, /--admin: .* write tcp:\/\/0\.0\.0\.0:9394 for every address/])
    end

    it "says with --check how many workers there would be, and where the number comes from" do
      plan = lambda do |*more, **options|
        start("--check", "-p", 3000, "-C", "-", *more, fixture("hello.ru"), **options).tap(&:wait_exit).stdout.to_a[1].chomp
      end

      expect(plan.("-w", 3, "--max-requests", 1000, "--no-preload"))
        .to eq("forks 3 workers (set by -w/--workers); each loads the app; a worker is replaced after 1000 requests")
      expect(plan.(env: { "WEB_CONCURRENCY" => "auto" }))
        .to match(/\Aforks \d+ workers? \(workers auto comes to \d+: .*CPU.*\); the app is loaded once, before they are forked\z/)
    end

    it "says with --check where there is no app to serve" do
      process = start("--check", "-C", "-", "nowhere.ru")

      expect([process.exit_status, process.stderr.to_s]).to eq([1, "tidegate: there is no rackup file nowhere.ru\n"])
    end

    it "serves config.ru of the directory it is started in" do
      Dir.mktmpdir do |directory|
        FileUtils.cp(fixture("hello.ru"), "#{directory}/config.ru")

        expect(start("-p", 0, "-o", "127.0.0.1", chdir: directory).ready.get("/").body).to eq("hello\n")
      end
    end

    it "takes its port from PORT" do
      server = start("-o", "127.0.0.1", "-C", "-", fixture("hello.ru"), env: { "PORT" => "0" }).ready

      expect(server.get("/").body).to eq("hello\n")
    end

    it "prints a line for each request with -v, and none without" do
      server = start("-v", "-p", 0, "-o", "127.0.0.1", "-C", "-", fixture("hello.ru")).ready
      server.get("/path?q=1")

      expect(server.stdout.wait_for(%r{"GET /path\?q=1 HTTP/1\.1" 200})).to be_truthy
    end

    it "prints errors of the app on the standard error, where nothing of them is in the response in production" do
      server = serve("fails.ru", "-e", "production")
      response = server.get("/path")

      expect([response.status, response.body]).to eq([500, "500 Internal Server Error\n"])
      expect(server.stderr.wait_for(%r{^tidegate: GET /path raised RuntimeError: on purpose$})).to be_truthy
      expect(server.stderr.wait_for(/^  .*fails\.ru:\d+:in /)).to be_truthy
      expect(server.stdout.to_a.size).to eq(2)
    end

    it "shows errors of the app to the client in development, which is what it is without -e" do
      expect(serve("fails.ru").get("/").body).to include("RuntimeError: on purpose")
    end

    it "says nothing but errors with --silent" do
      server = serve_silently("fails.ru")
      server.signal(:TERM)

      expect(server.exit_status).to eq(0)
      expect(server.output).to eq("")
    end

    # There is no ready line to wait for: the socket tells.
    def serve_silently(name)
      Dir.mktmpdir do |directory|
        server = start("--silent", "-b", "unix://#{directory}/app.sock", "-C", "-", fixture(name))
        Patience.until_true("the server to listen") { File.socket?("#{directory}/app.sock") && connects?("#{directory}/app.sock") }
        server
      end
    end

    def connects?(path)
      UNIXSocket.new(path).close
      true
    rescue Errno::ECONNREFUSED
      false
    end
  end

  describe "rackup -s tidegate" do
    it "serves an app, and ends with 0 on TERM" do
      server = track(ServerProcess.rackup("-o", "127.0.0.1", "-p", 0, fixture("hello.ru"))).ready

      expect(server.get("/").body).to eq("hello\n")
      server.signal(:TERM)
      expect(server.exit_status).to eq(0)
    end

    it "honours -o, -p, -E and -O" do
      server = track(ServerProcess.rackup("-o", "127.0.0.9", "-p", 0, "-E", "production", "-O", "max_threads=3", "-O", "drain_delay=1.5",
                                          "-O", "termination_grace=60", "-O", "admin=tcp://127.0.0.1:0", fixture("fails.ru"))).ready

      expect(server.address).to start_with("http://127.0.0.9:")
      expect(server.output).to match(/up to 3 threads; on SIGTERM 1\.5 s of drain delay/)
      expect(server.get("/").body).to eq("500 Internal Server Error\n")
      expect(server.probe("/readyz")).to eq(200)
    end

    it "drains like the command does" do
      server = track(ServerProcess.rackup("-o", "127.0.0.1", "-p", 0, "-O", "drain_delay=600", "-O", "termination_grace=3600", fixture("hello.ru"))).ready
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: draining/)
      expect(server.get("/").status).to eq(200)
      server.signal(:INT)

      expect(server.exit_status).to eq(0)
    end

    it "ends with 0 on Ctrl-C" do
      server = track(ServerProcess.rackup("-o", "127.0.0.1", "-p", 0, fixture("hello.ru"))).ready
      server.signal(:INT)

      expect(server.exit_status).to eq(0)
    end

    it "ends with 1 where the address is taken" do
      port = serve("hello.ru").port
      second = track(ServerProcess.rackup("-o", "127.0.0.1", "-p", port, fixture("hello.ru")))

      expect(second.exit_status).to eq(1)
      expect(second.stderr.to_s).to eq("tidegate: cannot listen on tcp://127.0.0.1:#{port}: the address is already in use by another process\n")
    end
  end

  describe "rackup -s tidegate of another Rack" do
    { "rack2" => "2.2", "rack32" => "3.2" }.each do |name, release|
      it "#{release} serves an app that Rack::Lint of that version accepts" do
        entry = `#{File.join(ServerProcess::ROOT, "bin/peer-gems")} --cached #{name} 2>&1`.chomp
        skip "Rack #{release} is not here: bin/peer-gems #{name} fetches it" unless $?.success?

        server = track(rackup_of(name, entry)).ready
        response = server.connect { |wire| wire.post("/path?q=1", "a=b", { "content-type" => "application/x-www-form-urlencoded", "x-header" => %w[1 2] }) }
        expect(response.body).to match(/\A#{Regexp.escape(release)}\S* POST \/path q=1 a=b\n\z/)
        expect(server.connect { |wire| wire.ask("HEAD", "/") }.status).to eq(200)
        expect(server.get("/stream").body).to match(/ GET \/stream /)
        server.signal(:TERM)
        expect(server.exit_status).to eq(0)
        expect(server.stderr.to_s).not_to include("LintError")
      end
    end

    # In Rack 2 rackup is Rack's own; for 3 it is the gem that is installed.
    def rackup_of(name, entry)
      gem_path = [entry, *Gem.path].join(":")
      script = name == "rack2" ? 'gem "rack", "~> 2.2.0"; load Gem.bin_path("rack", "rackup", "~> 2.2.0")' : 'gem "rack", "~> 3.2.0"; load Gem.bin_path("rackup", "rackup")'
      command = [*ServerProcess::RUBY, "-e", script, "--", "-s", "tidegate", "-E", "production", "-o", "127.0.0.1", "-p", "0", fixture("rack_versions.ru")]
      ServerProcess.new(command, env: { "GEM_PATH" => gem_path })
    end
  end
end
