# frozen_string_literal: true

# What surrounds a server - its sockets, its signals, what it is started by - beside Puma, which an app comes from.

RSpec.describe "the surroundings of a server, as under Puma", :frameworks, :gemfile_line, :processes do
  # Starts either server with these arguments, which both know; with +within+ in front of the command.
  def start_server(name, *arguments, config: "-", within: [], **)
    needs "puma"
    program = name == :puma ? %w[-S puma] : ["-I#{ServerProcess::ROOT}/lib", "#{ServerProcess::ROOT}/exe/tidegate"]
    config = ["-C", config] if config
    track(ServerProcess.new([*within, ServerProcess::RUBY.first, *program, *config, *arguments].map(&:to_s), **))
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
        # As nginx, say, does, whose workers are of another user.
        expect(statuses_for(65_534, paths)).to eq(0o777 => "200", 0o660 => "Errno::EACCES", 0o600 => "Errno::EACCES") if Process.uid.zero?
      end

      # A browser tries ::1 first, and another server may be there.
      { "both" => "127.0.0.1 localhost\n::1 localhost\n", "that of IPv4 alone" => "127.0.0.1 localhost\n" }.each do |named, hosts|
        it "binds both addresses of localhost where /etc/hosts names #{named}" do
          process = start_server(name, "-b", "tcp://localhost:0", fixture("hello.ru"), within: with_hosts(hosts))
          addresses = addresses_of(process, name)

          expect(hosts_of(addresses)).to contain_exactly("127.0.0.1", "[::1]")
          expect(addresses.map { |address| Wire.open(address) { |wire| wire.get("/").status } }).to eq([200, 200])
        end
      end

      it "binds one address of localhost on a machine without IPv6" do
        within = [*with_hosts("127.0.0.1 localhost\n::1 localhost\n"), *without_ipv6]
        process = start_server(name, "-b", "tcp://localhost:0", fixture("hello.ru"), within:)

        expect(hosts_of(addresses_of(process, name))).to eq(["127.0.0.1"])
      end

      it "takes the port of PORT through the usual line of config/puma.rb, and -p before that" do
        File.write("#{app_root}/puma.rb", "port ENV.fetch('PORT', 3000)\n")
        by_environment = start_server(name, fixture("hello.ru"), config: "#{app_root}/puma.rb", env: { "PORT" => "0" })
        by_flag = start_server(name, "-p", 0, fixture("hello.ru"), config: "#{app_root}/puma.rb", env: { "PORT" => "1" })
        ports = [by_environment, by_flag].map { |process| Integer(addresses_of(process, name).first[/\d+\z/]) }

        expect(ports).to all be > 1023
        expect(ports).not_to include(3000)
        expect(ports.map { |port| Wire.open("tcp://127.0.0.1:#{port}") { |wire| wire.get("/").status } }).to eq([200, 200])
      end

      it "opens the files of stdout_redirect anew when a program has renamed them and sends HUP" do
        out, err = "#{app_root}/out.log", "#{app_root}/err.log"
        path = "#{app_root}/app.sock"
        File.write("#{app_root}/puma.rb", "stdout_redirect #{out.dump}, #{err.dump}, true\n")
        File.write("#{app_root}/says.ru", "run ->(env) { puts(env['PATH_INFO']) || [200, {}, ['ok']] }\n")
        process = start_server(name, "-b", "unix://#{path}", "#{app_root}/says.ru", config: "#{app_root}/puma.rb")
        get = ->(target) { Wire.open("unix://#{path}") { |wire| wire.get(target).status } }
        # Puma opens the second one last, after its ready line.
        Patience.until_true("the files") { [out, err].all? { |file| File.exist?(file) } && File.socket?(path) && listens?(path) }
        expect(get.("/before")).to eq(200)
        [out, err].each { |file| File.rename(file, "#{file}.1") }
        process.signal(:HUP)
        Patience.until_true("new files") { [out, err].all? { |file| File.exist?(file) } }

        expect(get.("/after")).to eq(200)
        Patience.until_true("a line in the new file") { File.read(out).include?("/after\n") }
        expect(File.read("#{out}.1")).to include("/before\n").and(satisfy { |text| !text.include?("/after") })
        expect(process).to be_alive
      end

      # In bin/dev the terminal's Ctrl-C comes to the whole process group, and foreman sends TERM after it.
      it "finishes what is in flight when INT comes with a TERM behind it" do
        path = "#{app_root}/app.sock"
        process = start_server(name, "-b", "unix://#{path}", fixture("endings.ru"), env: rendezvous.env)
        serves(process, name)
        wire = Wire.open("unix://#{path}").request("GET", "/wait")
        app = meet("wait")
        Process.kill(:INT, -process.pid)
        process.wait_for_line(/closing: SIGINT/) if name == :tidegate # Puma says nothing before TERM
        process.signal(:TERM)
        process.wait_for_line(name == :puma ? /Gracefully stopping/ : /SIGTERM: still finishing/)
        app.release("finished")

        response = wire.response
        expect([response.status, response.body]).to eq([200, "finished"])
        process.wait_exit
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
        process = start_server(name, "-b", "unix://#{path}", config: nil, chdir: app_root, env: { "LANG" => "C", "LC_ALL" => "C" })
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

  # What it listens on, as Wire takes it.
  def addresses_of(process, name)
    return process.addresses if name == :tidegate

    serves(process, name)
    process.output.scan(%r{Listening on http://(\S+)}).map { |(address)| "tcp://#{address.sub("0.0.0.0", "127.0.0.1")}" }
  end

  # The status that a process of this user gets at each of these sockets, or its error.
  def statuses_for(user, paths)
    File.chmod(0o711, app_root)
    code = <<~RUBY
      require "socket"
      Process.groups = []
      Process::GID.change_privilege(#{user})
      Process::UID.change_privilege(#{user})
      ARGV.each do |path|
        UNIXSocket.open(path) do |socket|
          socket.write("GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
          puts socket.gets[/ (\\d+) /, 1]
        end
      rescue SystemCallError => error
        puts error.class
      end
    RUBY
    paths.keys.zip(IO.popen([ServerProcess::RUBY.first, "-e", code, *paths.values], &:readlines).map(&:chomp)).to_h
  end

  # What runs a command where these are the known hosts; only root, or a user of one's own, can have that.
  def with_hosts(text)
    File.write("#{app_root}/hosts", text)
    unshare = Process.uid.zero? ? %w[unshare -m] : %w[unshare -rm]
    within = [*unshare, "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', "#{app_root}/hosts"]
    both = Socket.ip_address_list.any?(&:ipv6_loopback?) && system(*within, "true", out: File::NULL, err: File::NULL)
    both ? within : skip("this machine has no ::1, or does not let /etc/hosts be another file")
  end

  # A network of its own, which has IPv4 alone.
  def without_ipv6
    within = ["unshare", "-n", "sh", "-ec", 'ip link set lo up; echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6; exec "$0" "$@"']
    system(*within, "true", out: File::NULL, err: File::NULL) ? within : skip("no network without IPv6 can be made here")
  end

  def hosts_of(addresses) = addresses.map { |address| address[%r{(?<=//).*(?=:)}] }

  # The daemon binds before its app boots, and refuses clients until it listens.
  def listens?(path)
    UNIXSocket.open(path) { true }
  rescue SystemCallError
    false
  end
end
