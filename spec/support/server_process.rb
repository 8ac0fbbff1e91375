# frozen_string_literal: true

# A server in a process of its own, as a user starts it: its command line, its output, its signals and its end.

require "rbconfig"

class ServerProcess
  ROOT = File.expand_path("../..", __dir__)
  FIXTURES = File.join(ROOT, "spec/fixtures")

  # How the line begins that says that it serves, as a sentence and in JSON.
  READY = /(?:^tidegate: |"message":")ready on /

  RUBY = [RbConfig.ruby, "-I#{File.join(ROOT, "lib")}"].freeze

  # `tidegate` with these arguments.
  def self.tidegate(*arguments, **)
    new([*RUBY, File.join(ROOT, "exe/tidegate"), *arguments.map(&:to_s)], **)
  end

  # `rackup -s tidegate` with these arguments.
  def self.rackup(*arguments, **)
    new([*RUBY, Gem.bin_path("rackup", "rackup"), "-s", "tidegate", *arguments.map(&:to_s)], **)
  end

  # A suite under nohup ignores HUP, and so would what it starts; what it handles is the default there.
  Signal.trap("HUP") { nil }.then { |before| Signal.trap("HUP", before) unless before == "IGNORE" }

  # The environment of a child: ours, without Bundler's additions, without what would configure a server, and with
  # the gems that we have.
  def self.base_env
    env = defined?(Bundler) ? Bundler.unbundled_env : ENV.to_h
    env = env.reject { |name, _| name.match?(/\A(TIDEGATE_|PORT\z|RAILS_|RACK_ENV\z|APP_ENV\z|KUBERNETES_|WEB_CONCURRENCY\z|LISTEN_|NOTIFY_SOCKET\z)/) }
    env.merge("GEM_PATH" => Gem.path.join(":"))
  end

  attr_reader :pid, :stdout, :stderr

  # +limits+ are the rlimit_* options of Process.spawn.
  def initialize(command, env: {}, chdir: ROOT, **limits)
    @command = command
    @wires = []
    @stdout = Lines.new("the server's standard output")
    @stderr = Lines.new("the server's standard error")
    @all = Lines.new("the server")
    start(self.class.base_env.merge(env), chdir, limits)
  end

  # Waits until it serves, and returns itself.
  def ready
    wait_for_line(READY)
    self
  end

  # Waits for a line on either output, and returns its MatchData.
  def wait_for_line(pattern) = @all.wait_for(pattern)

  # What it listens on, as Wire takes it.
  def addresses
    @addresses ||= wait_for_line(/#{READY}(?<addresses>[^(]+) \(/)[:addresses].split(", ")
  end

  def address = addresses.first

  def port = Integer(address[/:(\d+)\z/, 1])

  # Where the probes are answered.
  def admin = wait_for_line(/#{READY}.*?probes on (?<admin>[^ ;]+)/)[:admin]

  # Opens a connection, for the block or until the end of the example. +client+ may be HTTP2Client; +address+ is where there are several.
  def connect(client: Wire, address: self.address, **, &)
    return client.open(address, **, &) if block_given?

    client.open(address, **).tap { |wire| @wires << wire }
  end

  # A whole exchange on a connection of its own.
  def get(target, headers = {}) = connect { |wire| wire.get(target, headers) }

  # The status of a probe.
  def probe(path) = Wire.open(admin) { |wire| wire.get(path).status }

  # Returns when the server has seen everything that was sent to it before: it takes connections and reads them in
  # the order in which they come, and this is one that it answers without the app.
  def catch_up
    connect { |wire| wire.write("GET / HTTP/1.1\r\n\r\n").response }
    self
  end

  def signal(name) = Process.kill(name, @pid)

  # Runs the block while the process stands still, so that what the block does is all there at once when it goes on.
  def frozen
    signal(:STOP)
    Patience.until_true("the process to stop") { File.read("/proc/#{@pid}/stat")[/\) (\w)/, 1] == "T" }
    yield
  ensure
    signal(:CONT)
  end

  # Waits for the end, and returns the Process::Status.
  def wait_exit
    Patience.value_of(@ending, "the process to end")
    @readers.each { |reader| Patience.value_of(reader, "the end of its output") }
    @status
  end

  # The exit status; -15 for one that died of SIGTERM.
  def exit_status
    status = wait_exit
    status.exitstatus || -status.termsig
  end

  def output = @all.to_s

  def alive? = @ending.alive?

  # What it has computed, in ticks of 10 ms.
  def cpu_ticks = File.read("/proc/#{@pid}/stat")[/\) (.*)/, 1].split.values_at(11, 12).sum { |ticks| Integer(ticks) }

  # The exit status, also while the outputs are not read.
  def status_at_end
    Patience.value_of(@ending, "the process to end")
    @status.exitstatus || -@status.termsig
  end

  # Reads the outputs no longer, and fills their pipes, until #hear_again.
  def stop_hearing
    @deaf = Deaf.new(Queue.new, Queue.new)
    pipes = [1, 2].map { |number| File.open("/proc/#{@pid}/fd/#{number}", File::WRONLY | File::NONBLOCK) }
    # What the reader takes in it keeps, and after that it is out of the way.
    pipes.each { |pipe| pipe.write_nonblock("#{FILLER}\n") }
    pipes.each { Patience.pop(@deaf.arrivals, "the readers to stop") }
    pipes.each { |pipe| nil while pipe.write_nonblock("#{FILLER}\n", exception: false).is_a?(Integer) }
  ensure
    pipes&.each(&:close)
  end

  # Closes the pipes of the outputs: what the server writes from now on fails.
  def close_outputs
    @pipes.each(&:close)
  end

  # Reads on.
  def hear_again
    deaf = @deaf
    @deaf = nil
    deaf&.resume&.close
  end

  # What fills a pipe.
  FILLER = "#" * 63

  # Readers that have been told to stop say so, and wait for the word to go on.
  Deaf = Struct.new(:arrivals, :resume)

  # Ends it whatever it does. Safe to call twice.
  def end
    @wires.each(&:close)
    hear_again
    signal(:KILL) if alive?
    wait_exit
  rescue Errno::ESRCH
    wait_exit
  end

  private

  def start(env, chdir, limits)
    outputs = [@stdout, @stderr].to_h { |lines| [lines, IO.pipe] }
    (_, out), (_, err) = outputs.values
    # As a shell or a container's runtime gives them; Ruby's own are non-blocking. Not every Ruby that loads this can do it.
    require "io/nonblock"
    [out, err].each { |pipe| pipe.nonblock = false }
    @pid = Process.spawn(env, *@command, chdir:, in: File::NULL, out:, err:, unsetenv_others: true, pgroup: true, **limits)
    [out, err].each(&:close)
    @pipes = outputs.each_value.map(&:first)
    @readers = outputs.map { |lines, (pipe, _)| Thread.new { read(pipe, lines) } }
    @ending = Thread.new { _, @status = Process.wait2(@pid) }
    Thread.new { @readers.each(&:join) && @all.close }
  end

  def read(pipe, lines)
    pipe.each_line do |line|
      @deaf&.then { |deaf| (deaf.arrivals << true) && deaf.resume.pop }
      lines.write(line)
      @all.write(line)
    end
  rescue IOError
    nil # closed by the spec
  ensure
    lines.close
    pipe.close
  end
end
