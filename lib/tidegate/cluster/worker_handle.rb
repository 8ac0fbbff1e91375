# frozen_string_literal: true

# A worker process as its master sees it: which one it is, how far it has come, and the control socket to it.

module Tidegate
  class WorkerHandle
    # The bytes that stand for signals on the control socket, in the order that the native side knows.
    SIGNALS = %i[TERM QUIT INT HUP].freeze

    # The byte that has a worker leave alone: it serves what it has, and the others serve on.
    RETIRE = "R"

    # The byte that stands for the end of the cluster, where no signal has asked for it.
    STOP = "S"

    # Bytes of a line from a worker; the longest that is meant is a tenth of that.
    LONGEST_LINE = 512

    # Bytes that are read at once. The rest comes at the next turn, after what the other workers say.
    MOST = 16_384

    # +index+ counts the workers from 0, as hooks see it. +slot+ is the worker's line of the shared table; nil for a worker of the image
    # before this one. +control+ is the master's end of the socket. +replaces+ is the handle of the worker that leaves once this one
    # serves. +pid+ is nil until a worker that a mold has forked has said it.
    def initialize(index:, slot:, control:, pid: nil, replaces: nil, request_limit: nil, state: :booting)
      @index = index
      @slot = slot
      @control = control
      @pid = pid
      @replaces = replaces
      @request_limit = request_limit
      @state = state
      @began = now
      @unread = ""
    end

    attr_reader :index, :slot, :control, :replaces, :request_limit

    # :booting, :serving, :retiring, :mold, or :gone once the process has ended.
    attr_reader :state

    attr_accessor :pid

    # Why the worker is to be replaced, in a word; nil if it is not.
    attr_accessor :replace_for

    %i[booting serving retiring mold gone].each { |name| define_method(:"#{name}?") { @state == name } }

    # A signal has told the worker to leave, which asks for the master's consent.
    def asked = @asked_at ||= now

    # Seconds since then; nil where it does not ask, or leaves already.
    def asked_for = (now - @asked_at if @asked_at && serving?)

    # Whether the master has killed it, and it has not ended yet.
    def killed? = @replace_for == :killed

    # Seconds in the present state.
    def age = now - @began

    def state=(state)
      @state = state
      @began = now
    end

    # Has the worker do what a process does on the signal of that name.
    def signal(name) = tell(SIGNALS.index(name).chr)

    # Has the worker leave, while the others serve on.
    def retire
      self.state = :retiring
      tell(RETIRE)
    end

    # The lines that the worker has sent since the last call; nil once it has closed its end.
    def lines
      return unless @control

      read = read_all
      return if read.nil? && @unread.empty?

      *lines, rest = "#{@unread}#{read}".split("\n", -1)
      @unread = read.nil? || rest.nil? || rest.bytesize > LONGEST_LINE ? "" : rest
      lines
    end

    # Sends the process a signal. False if it has gone.
    def kill(name)
      pid && Process.kill(name, pid)
    rescue Errno::ESRCH
      false
    end

    # Ends the listening to a worker that has closed its end; its process is still waited for.
    def deafen
      @control&.close
      @control = nil
      @deaf_since = now
    end

    # Seconds since the worker has closed its end; nil as long as it has not.
    def deaf_for = (now - @deaf_since if @deaf_since)

    # As in "worker 2 (pid 4711)".
    def to_s = "worker #{index}#{" (pid #{pid})" if pid}"

    # A worker that does not read has its socket full: it is killed when its time is over.
    def tell(text)
      @control&.write_nonblock(text, exception: false)
    rescue SystemCallError, IOError
      nil # it has gone, which the master hears of by SIGCHLD
    end

    private

    # What has come, but no more than MOST, because a worker may write without end; nil at the end.
    def read_all
      text = +""
      while text.bytesize < MOST && (read = @control.read_nonblock(4096, exception: false)) != :wait_readable
        return text.empty? ? nil : text if read.nil?

        text << read
      end
      text
    rescue SystemCallError
      nil
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
