# frozen_string_literal: true

# What keeps a server from starting is told in one sentence on the standard error, with an exit status of 1.

RSpec.describe "a server that cannot start", :processes do
  # Expects a process to end with that status and just that sentence.
  def expect_sentence(process, sentence, status: 1)
    expect(process.exit_status).to eq(status)
    expect(process.stderr.to_a).to match([sentence.is_a?(Regexp) ? match(sentence) : sentence])
    expect(process.stdout.to_s).to eq("")
  end

  def production(*, **) = start("-C", "-", "-e", "production", *, **)

  def local(*, **) = production("-p", 0, "-o", "127.0.0.1", *, **)

  describe "because of an address" do
    it "that is taken" do
      port = serve("hello.ru").port

      expect_sentence(production("-o", "127.0.0.1", "-p", port, fixture("hello.ru")),
                      "tidegate: cannot listen on tcp://127.0.0.1:#{port}: the address is already in use by another process")
      expect(processes.first.get("/").body).to eq("hello\n")
    end

    it "that a server of the same pidfile has, which is named" do
      Dir.mktmpdir do |directory|
        first = serve("hello.ru", "--pidfile", "#{directory}/a.pid")

        expect_sentence(production("-o", "127.0.0.1", "-p", first.port, "--pidfile", "#{directory}/a.pid", fixture("hello.ru")),
                        %r{already in use by another process: it is another tidegate of this configuration, process #{first.pid} \(#{directory}/a\.pid\)})
        expect(File.read("#{directory}/a.pid").to_i).to eq(first.pid)
      end
    end

    it "that is taken, before the app is loaded" do
      port = serve("hello.ru").port

      expect_sentence(production("-o", "127.0.0.1", "-p", port, fixture("raises.ru")), /already in use/)
    end

    it "of the probes that is taken" do
      port = serve("hello.ru").port

      expect_sentence(local("--admin", "tcp://127.0.0.1:#{port}", fixture("hello.ru")),
                      "tidegate: cannot listen on tcp://127.0.0.1:#{port}: the address is already in use by another process")
    end

    it "that is not this machine's" do
      expect_sentence(production("-b", "tcp://192.0.2.1:0", fixture("hello.ru")), %r{\Atidegate: cannot listen on tcp://192\.0\.2\.1:0: \S})
    end

    it "with a host that has no address" do
      expect_sentence(production("-b", "tcp://host.invalid:0", fixture("hello.ru")),
                      /\Atidegate: cannot listen on .*: the host name "host\.invalid" has no address\z/)
    end
  end

  describe "because of a Unix socket" do
    around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

    let(:path) { "#{@directory}/app.sock" }

    def on_socket(*, **) = production("-b", "unix://#{path}", *, fixture("hello.ru"), **)

    it "in a directory that does not exist" do
      expect_sentence(production("-b", "unix:///nonexistent/app.sock", fixture("hello.ru")),
                      "tidegate: cannot listen on unix:///nonexistent/app.sock: the directory does not exist")
    end

    it "in a directory that may not be entered" do
      skip "root may enter any directory" if Process.uid.zero? && !as_nobody?

      Dir.mkdir("#{@directory}/closed", 0o700)
      File.chmod(0o711, @directory)
      expect_sentence(as_nobody("-b", "unix://#{@directory}/closed/app.sock"), %r{\Atidegate: cannot listen on unix://.*/closed/app\.sock: permission denied\b}i)
    end

    it "on which another process listens, which goes on" do
      first = on_socket.ready

      expect_sentence(on_socket, "tidegate: cannot listen on unix://#{path}: another process is listening on that socket")
      expect(Wire.open(first.address) { |wire| wire.get("/").body }).to eq("hello\n")
    end

    # It binds before its app boots, and refuses clients until it listens, as the socket of a dead process does.
    it "that another process has bound and does not listen on yet, which gets it" do
      first = start("-b", "unix://#{path}", "-C", "-", fixture("slow_boot.ru"), env: rendezvous.env)
      boot = meet("boot")
      expect_sentence(on_socket, "tidegate: cannot listen on unix://#{path}: another process has bound that socket and is about to listen on it")
      boot.release

      expect(Wire.open(first.ready.address) { |wire| wire.get("/").body }).to eq("booted\n")
    end

    it "that a killed process has left behind with its lock, and works" do
      first = on_socket.ready
      first.signal(:KILL)
      first.wait_exit
      expect(Dir.children(File.dirname(path)).grep(/app.sock/)).to contain_exactly("app.sock", "app.sock.lock")
      second = on_socket.ready
      expect(Wire.open(second.address) { |wire| wire.get("/").body }).to eq("hello\n")
      second.signal(:TERM)
      expect(second.exit_status).to eq(0)
      expect(Dir.children(File.dirname(path)).grep(/app.sock/)).to be_empty
    end

    it "where there is a file, which stays" do
      File.write(path, "precious")

      expect_sentence(on_socket, "tidegate: cannot listen on unix://#{path}: a file of that name is there, and it is not a socket")
      expect(File.read(path)).to eq("precious")
    end

    it "with a path that is too long" do
      expect_sentence(production("-b", "unix://#{@directory}/#{"x" * 200}", fixture("hello.ru")), %r{\Atidegate: cannot listen on unix://.*x: .*(long|short)}i)
    end

    it "but one that a dead process has left behind is replaced" do
      first = on_socket.ready
      first.signal(:KILL)
      first.wait_exit
      expect(File.socket?(path)).to be(true)

      expect(Wire.open(on_socket.ready.address) { |wire| wire.get("/").body }).to eq("hello\n")
    end

    # Runs the server as a user who may read this directory tree but owns nothing.
    def as_nobody(*arguments)
      command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *ServerProcess::RUBY, File.join(ServerProcess::ROOT, "exe/tidegate")]
      track(ServerProcess.new([*command, "-C", "-", "-e", "production", *arguments, fixture("hello.ru")]))
    end

    def as_nobody? = system("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-r", fixture("hello.ru"), err: File::NULL)
  end

  describe "because of an option" do
    {
      %w[--drain-dely 3] => "tidegate: unknown option --drain-dely: did you mean --drain-delay?",
      %w[--treads 3] => "tidegate: unknown option --treads: did you mean --threads?",
      %w[--qqq] => "tidegate: unknown option --qqq: `tidegate --help` lists the options",
      %w[-Z] => /\Atidegate: unknown option -Z: /,
      %w[-p http] => /\Atidegate: -p\S*: port cannot be "http": it must be a whole number from 0 to 65535\z/,
      %w[-p 70000] => /\Atidegate: -p\S*: port cannot be "70000": /,
      %w[-t 5:2] => /\Atidegate: -t\S*: threads cannot be "5:2": it must be MIN:MAX/,
      %w[--drain-delay soon] => /\Atidegate: --drain-delay: drain_delay cannot be "soon": it must be a number of seconds/,
      %w[-b ftp://127.0.0.1:21] => /\Atidegate: -b\S*: bind cannot be "ftp:/,
      %w[-C /nonexistent/tidegate.rb] => "tidegate: -C/--config: the configuration file /nonexistent/tidegate.rb does not exist",
      %w[--dir /nonexistent] => %r{\Atidegate: --dir: cannot change the directory: no such file or directory}i
    }.each do |arguments, sentence|
      it arguments.join(" ") do
        expect_sentence(start(*arguments, fixture("hello.ru")), sentence)
      end
    end

    it "that lacks its value" do
      expect_sentence(start("-p"), "tidegate: -p needs a value")
    end

    it "in the environment" do
      expect_sentence(local(fixture("hello.ru"), env: { "TIDEGATE_DRAIN_DELAY" => "soon" }),
                      /\Atidegate: environment variable TIDEGATE_DRAIN_DELAY: drain_delay cannot be "soon": /)
    end

    it "in the environment that is spelled wrong" do
      expect_sentence(local(fixture("hello.ru"), env: { "TIDEGATE_DRAIN_DELY" => "3" }),
                      "tidegate: unknown environment variable TIDEGATE_DRAIN_DELY: did you mean TIDEGATE_DRAIN_DELAY?")
    end

    it "in the file, with its line" do
      Tempfile.create(%w[tidegate .rb]) do |file|
        file.write("threads 1, 2\ndrain_dely 3\n")
        file.flush

        expect_sentence(start("-C", file.path, fixture("hello.ru")), "tidegate: #{file.path}:2: unknown option drain_dely: did you mean drain_delay?")
      end
    end

    it "given to rackup" do
      process = track(ServerProcess.rackup("-p", 0, "-O", "drain_dely=3", fixture("hello.ru")))

      expect_sentence(process, /\Atidegate: option drain_dely: .*did you mean drain_delay\?|\Atidegate: unknown option drain_dely: did you mean drain_delay\?/)
    end
  end

  it "but an environment variable that only begins like ours is no more than a warning" do
    server = serve("hello.ru", env: { "TIDEGATE_SERVICE_HOST_NAME" => "10.0.0.1" })

    expect(server.stderr.to_a).to eq(["tidegate: the environment variable TIDEGATE_SERVICE_HOST_NAME is not an option and changes nothing"])
  end

  describe "because of the app" do
    it "that is not there" do
      Dir.mktmpdir do |directory|
        process = production("-p", 0, chdir: directory)

        expect_sentence(process, "tidegate: there is no rackup file config.ru: give its path, or start where it is")
      end
    end

    {
      "raises.ru" => "tidegate: spec/fixtures/raises.ru cannot be loaded: spec/fixtures/raises.ru:5: the database is not configured (ArgumentError)",
      "load_error.ru" => %r{\Atidegate: spec/fixtures/load_error\.ru cannot be loaded: spec/fixtures/load_error\.ru:5: cannot load such file -- a_gem_that_is_not_there \(LoadError\)\z},
      "syntax_error.ru" => %r{\Atidegate: spec/fixtures/syntax_error\.ru cannot be loaded: spec/fixtures/syntax_error\.ru:5: .* \(SyntaxError\)\z},
      "no_app.ru" => %r{\Atidegate: spec/fixtures/no_app\.ru .*}
    }.each do |file, sentence|
      it "in #{file}" do
        process = local(fixture(file))

        expect(process.exit_status).to eq(1)
        expect(process.stderr.to_a.first).to match(sentence)
        expect(process.stdout.to_s).to eq("")
      end
    end

    # In production too: what a container prints before it ends is all that there is of it.
    it "and shows where from" do
      process = local(fixture("raises.ru"))

      expect(process.exit_status).to eq(1)
      expect(process.stderr.to_s).to match(%r{^  \S*spec/fixtures/raises\.ru:5:in })
    end

    # The line that points at the place in a long line of code was taken for the reason: "~".
    it "with a syntax error in the middle of a long line" do
      Tempfile.create(%w[long .ru]) do |file|
        file.write("#{"a = 1; " * 30}case a when; #{"b = 2; " * 30}run 1\n")
        file.flush
        process = local(file.path)
        expect(process.exit_status).to eq(1)
        expect(process.stderr.to_a.first).to match(/:1: \w.* \(SyntaxError\)\z/)
      end
    end

    it "that exits by itself, with its status" do
      Tempfile.create(%w[exits .ru]) do |file|
        file.write("exit 7\n")
        file.flush
        process = local(file.path)

        expect_sentence(process, "tidegate: #{file.path} has ended this process, with exit status 7: #{file.path}:1", status: 7)
      end
    end
  end

  describe "because there are too few file descriptors" do
    # The most with which the server does not start; Ruby itself needs a handful.
    it "says so" do
      processes = (9..20).map { |files| local(fixture("hello.ru"), rlimit_nofile: [files, files]) }
      ends = processes.map { |process| Patience.until_true("an end or a start") { process.output.include?("ready on") ? :ready : process.output.include?("\n") && !process.alive? && :ended } }
      failed = processes.zip(ends).select { |_, how| how == :ended }.map(&:first).select { |process| process.stderr.to_s.match?(/^tidegate: /) }

      expect(failed).not_to be_empty
      # With a few more the app is loaded, and the first line is there already.
      failed.each { |process| expect([process.exit_status, process.stderr.to_a]).to match([1, [/\Atidegate: .*(file descriptors|open files)/i]]) }
    end
  end

  it "but one that runs out of descriptors goes on once there are some" do
    server = serve("hello.ru", "--max-connections", "1000", rlimit_nofile: [40, 40])
    address = server.address
    wires = Array.new(60) { Wire.open(address) }
    server.wait_for_line(/^tidegate: cannot accept connections for now, trying again: .*open files/)
    wires.each(&:close)
    server.wait_for_line(/^tidegate: accepting connections again/)

    expect(server.get("/").body).to eq("hello\n")
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
  end
end
