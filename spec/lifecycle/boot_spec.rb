# frozen_string_literal: true

RSpec.describe "a server that boots", :processes do
  it "accepts no connection before the app is loaded, and every connection after" do
    port = TCPServer.open("127.0.0.1", 0) { |free| free.addr[1] }
    server = start("-p", port, "-o", "127.0.0.1", "-C", "-", fixture("slow_boot.ru"), env: rendezvous.env)
    boot = meet("boot")
    expect { Wire.open("tcp://127.0.0.1:#{port}") }.to raise_error(Errno::ECONNREFUSED)
    boot.release

    expect(server.ready.get("/").body).to eq("booted\n")
  end

  %i[TERM INT QUIT].each do |signal|
    it "and gets #{signal} ends at once, with status 0" do
      server = boot("slow_boot.ru")
      booting = meet("boot")
      server.signal(signal)

      expect(server.exit_status).to eq(0)
      expect(booting.gone).to be(true)
      expect(server.stdout.to_a).to eq(["tidegate: stopped by SIG#{signal} before it was ready", "at_exit of the app"])
      expect(server.stderr.to_s).to eq("")
    end
  end

  it "says where it listens, with the port that it got" do
    server = serve("hello.ru")

    expect(server.port).to be > 0
    expect(server.get("/").body).to eq("hello\n")
    expect(server.stderr.to_s).to eq("")
  end

  it "listens on all addresses it was given, and removes its socket when it ends" do
    Dir.mktmpdir do |directory|
      path = "#{directory}/app.sock"
      server = start("-b", "tcp://127.0.0.1:0", "-b", "tcp://[::1]:0", "-b", "unix://#{path}?mode=0600", "-C", "-", fixture("hello.ru")).ready

      expect(server.addresses.map { |address| address[%r{\A\w+://[^:]*}] }).to eq(["http://127.0.0.1", "http://[", "unix://#{path}"])
      server.addresses.each { |address| expect(Wire.open(address) { |wire| wire.get("/").body }).to eq("hello\n") }
      expect(File.stat(path).mode & 0o777).to eq(0o600)
      server.signal(:TERM)
      expect(server.exit_status).to eq(0)
      expect(File).not_to exist(path)
    end
  end

  describe "with a plan that does not fit" do
    it "cuts the drain delay to the platform's time, and says so with the numbers" do
      server = start("-p", 0, "-o", "127.0.0.1", "-C", "-", "--termination-grace", 5, "--drain-delay", 10, fixture("hello.ru")).ready

      expect(server.output).to match(/^tidegate: drain_delay 10\.0 s does not fit: the platform gives 5\.0 s, less 0\.0 s for preStop and 2\.0 s to exit leaves 3\.0 s; using 1\.5 s$/)
      expect(server.output).to match(/^tidegate: ready on .* on SIGTERM 1\.5 s of drain delay, then 1\.5 s to finish\)$/)
    end

    it "counts what preStop uses" do
      server = start("-p", 0, "-o", "127.0.0.1", "-C", "-", "--termination-grace", 20, "--prestop", 10, "--drain-delay", 10, fixture("hello.ru")).ready

      expect(server.output).to match(/^tidegate: drain_delay 10\.0 s does not fit: .*less 10\.0 s for preStop/)
    end

    it "says nothing where it fits" do
      server = start("-p", 0, "-o", "127.0.0.1", "-C", "-", "--termination-grace", 30, "--drain-delay", 5, fixture("hello.ru")).ready

      expect(server.output).not_to include("does not fit")
    end
  end

  it "takes its delay from Kubernetes" do
    server = start("-p", 0, "-o", "127.0.0.1", "-C", "-", fixture("hello.ru"), env: { "KUBERNETES_SERVICE_HOST" => "10.0.0.1" }).ready

    expect(server.output).to match(/ on SIGTERM 9\.3 s of drain delay, then 18\.7 s to finish\)$/)
  end

  it "takes its options from flags, then the environment, then the file" do
    Dir.mktmpdir do |directory|
      File.write("#{directory}/tidegate.rb", "port 0\nhost '127.0.0.1'\nthreads 1, 2\ndrain_delay 1\ntermination_grace 100\nshutdown_timeout 11\n")
      server = start("-C", "#{directory}/tidegate.rb", "--drain-delay", 3, fixture("hello.ru"),
                     env: { "RAILS_MAX_THREADS" => "7", "TIDEGATE_DRAIN_DELAY" => "2", "TIDEGATE_SHUTDOWN_TIMEOUT" => "12" }).ready

      expect(server.output).to match(/up to 7 threads; on SIGTERM 3\.0 s of drain delay, then 12\.0 s to finish/)
    end
  end

  it "ends its process when the program ends without stopping it, while every thread waits" do
    process = track(ServerProcess.new([*ServerProcess::RUBY, fixture("ends_without_stop.rb")]))
    process.wait_for_line(/^waiting$/)

    expect(process.exit_status).to eq(0)
    expect(process.output).to eq("waiting\n")
  end

  it "ends its process when the program ends with an exception" do
    process = track(ServerProcess.new([*ServerProcess::RUBY, fixture("ends_without_stop.rb"), "raise"]))

    expect(process.exit_status).to eq(1)
    expect(process.output).to include("the end of the main thread (RuntimeError)")
  end
end
