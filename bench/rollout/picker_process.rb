# frozen_string_literal: true

# The program of the TCP relay: `ruby picker_process.rb HOST`. Tells its port on descriptor 3, then answers the lines of
# its standard input: "pods HOST:PORT ..." and "counters". Ends with its input.
require "socket"

# Two threads for each connection, one a direction. What ends badly on one side ends badly on the other.
class Relay
  ABORT = [1, 0].pack("ii") # SO_LINGER: a close is a reset

  CHUNK = 65_536

  # The block is called when the pod cannot be reached.
  def initialize(client, host, port, &on_refusal)
    @client, @host, @port, @on_refusal = client, host, port, on_refusal
  end

  # Runs to the end of the connection.
  def run
    @pod = TCPSocket.new(@host, @port)
    [@client, @pod].each { |socket| socket.setsockopt(:TCP, :NODELAY, true) }
    upward = Thread.new { pass(@client, @pod) }
    pass(@pod, @client)
    upward.join
  rescue SystemCallError
    @on_refusal.call unless @pod
    abort_both
  ensure
    @client.close
    @pod&.close
  end

  private

  # By hand: IO.copy_stream takes a reset for an end.
  def pass(from, to)
    buffer = String.new(capacity: CHUNK)
    loop { to.write(from.readpartial(CHUNK, buffer)) }
  rescue EOFError
    finish(to)
  rescue SystemCallError, IOError
    abort_both
  end

  def finish(socket)
    socket.close_write
  rescue SystemCallError, IOError
    abort_both
  end

  def abort_both
    [@client, @pod].compact.each do |socket|
      socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, ABORT)
      socket.close
    rescue SystemCallError, IOError
      nil
    end
  end
end

# The listener, which is closed while there is no pod.
class Picker
  BACKLOG = 1024

  def initialize(host)
    @host = host
    @pods = []
    @accepted = @refused = 0
    @mutex = Mutex.new
    TCPServer.open(host, 0) { |server| @port = server.local_address.ip_port }
  end

  attr_reader :port

  def counters = "#{@accepted} #{@refused}"

  def pods=(pods)
    @pods = pods
    pods.empty? ? close : open
  end

  private

  def open
    return if @listener

    @listener = reopen
    @listener.listen(BACKLOG)
    @acceptor = Thread.new(@listener) { |listener| accept(listener) }
  end

  # The port was closed meanwhile: a connection of another process may have it for a moment.
  def reopen
    tries ||= 0
    TCPServer.new(@host, @port)
  rescue Errno::EADDRINUSE
    raise if (tries += 1) > 50

    sleep(0.1)
    retry
  end

  def close
    @listener&.close
    @acceptor&.join
    @listener = nil
  end

  def accept(listener)
    loop do
      client = listener.accept
      pod = @pods.sample
      @accepted += 1
      Thread.new { Relay.new(client, *pod) { @mutex.synchronize { @refused += 1 } }.run }
    end
  rescue IOError, Errno::EBADF
    nil # closed
  end
end

Thread.report_on_exception = true
answers = IO.for_fd(3)
answers.sync = true
picker = Picker.new(ARGV.first)
answers.puts(picker.port)
while (line = $stdin.gets)
  word, *arguments = line.split
  case word
  when "pods"
    picker.pods = arguments.map { |address| address.split(":") }
    answers.puts("ok")
  when "counters" then answers.puts(picker.counters)
  end
end
