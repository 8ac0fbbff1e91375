# frozen_string_literal: true

require "fcntl"

# The master prints few lines, and each was its end where the disk was full or the reader of the pipe had gone: the workers went with it.
# Where the reader did not read, the master stood still.
RSpec.describe "a cluster whose log cannot be written", :processes do
  def port = @port ||= Addrinfo.tcp("127.0.0.1", 0).bind { |socket| socket.local_address.ip_port }

  # Starts it with its log there, until the block has returned.
  def serving(log)
    command = [*ServerProcess::RUBY, File.join(ServerProcess::ROOT, "exe/tidegate"), "-C", "-", "-b", "tcp://127.0.0.1:#{port}", "-w", 2, fixture("cluster.ru")]
    pid = Process.spawn(ServerProcess.base_env, *command.map(&:to_s), out: log, err: log)
    Patience.until_true("it to serve") { status == 200 }
    yield pid
  ensure
    Process.kill(:KILL, pid) && Process.wait(pid) if pid && !@ended
  end

  def status
    Wire.open("http://127.0.0.1:#{port}") { |wire| wire.get("/").status }
  rescue SystemCallError, IOError
    nil
  end

  def workers(pid) = children(pid).select { |child| title(child).start_with?("tidegate: worker") }

  # Replaces a worker that has died, takes one more, and ends well.
  def goes_on(pid)
    first, = Patience.until_true("two workers") { workers(pid).then { |all| all if all.size == 2 } }
    Process.kill(:KILL, first)
    Patience.until_true("another worker") { workers(pid).then { |all| all.size == 2 && !all.include?(first) } }
    Process.kill(:TTIN, pid)
    Patience.until_true("one worker more") { workers(pid).size == 3 }
    expect(status).to eq 200
    Process.kill(:TERM, pid)
    _, ended = Patience.until_true("its end") { Process.wait2(pid, Process::WNOHANG) }
    @ended = true
    expect(ended.exitstatus).to eq 0
  end

  it "goes on, boots and ends on a full disk" do
    skip "there is no /dev/full" unless File.exist?("/dev/full")

    File.open("/dev/full", "w") { |full| serving(full) { |pid| goes_on(pid) } }
  end

  it "goes on when the reader of its pipe has gone" do
    reader, writer = IO.pipe
    serving(writer) { |pid| reader.close || goes_on(pid) }
  end

  it "goes on when the reader of its pipe does not read" do
    _reader, writer = IO.pipe
    serving(writer) do |pid|
      nil until writer.write_nonblock("x", exception: false) == :wait_writable
      # The file description is the server's too.
      writer.fcntl(Fcntl::F_SETFL, writer.fcntl(Fcntl::F_GETFL) & ~File::NONBLOCK)
      goes_on(pid)
    end
  end
end
