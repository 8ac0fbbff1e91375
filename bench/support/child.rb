# frozen_string_literal: true

# A child process that we started: its output line by line, when and how it ended.
# Knows nothing of servers or of what the output means.
module Rig
  # What could not be done, said in one sentence.
  class Unavailable < StandardError; end

  # A program or gem that this machine does not have.
  class Missing < Unavailable; end

  def self.now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  # The environment as it was before Bundler: what is started from `bundle exec rspec` is to see the same as what is started without.
  def self.environment = defined?(Bundler) ? Bundler.unbundled_env : ENV.to_h

  class Child
    attr_reader :pid, :name, :ended_at, :status

    # `redirects` are further arguments of Process.spawn, e.g. descriptors to inherit.
    # A block is called with every line of output, in the thread that reads them. Of the lines the last `keep` are kept.
    def initialize(command, name:, env: {}, redirects: {}, keep: 10_000, &on_line)
      @name = name
      @keep = keep
      @lines = []
      @mutex = Mutex.new
      @changed = ConditionVariable.new
      @on_line = on_line
      spawn(command, env, redirects)
    end

    # Waits until a line of output matches; false when the process ends or the time is over first.
    def wait_for_line(pattern, within:)
      limit = Rig.now + within
      @mutex.synchronize do
        loop do
          return true if @lines.any? { |line| pattern.match?(line) }
          return false if @output_over || Rig.now >= limit

          @changed.wait(@mutex, limit - Rig.now)
        end
      end
    end

    # Waits until the process has ended; its Process::Status, or nil when the time is over first.
    def wait(within: nil) = @waiter.join(within) && @status

    def alive? = @waiter.alive?

    def signal(name)
      Process.kill(name, @pid) if alive?
    rescue Errno::ESRCH
      nil
    end

    # Ends the process: politely, then by force. Safe to call twice.
    def stop(signal: :TERM, within: 5)
      signal(signal)
      wait(within:) || (signal(:KILL) && wait)
      @reader.join
      @status
    end

    def output = @mutex.synchronize { @lines.dup }

    # "exit 0" or "signal 15", for people.
    def outcome
      return "running" unless @status

      @status.signaled? ? "signal #{@status.termsig}" : "exit #{@status.exitstatus}"
    end

    private

    def spawn(command, env, redirects)
      from_child, to_us = IO.pipe
      @pid = Process.spawn(Rig.environment.merge(env), *command, in: File::NULL, out: to_us, err: to_us,
                                                              unsetenv_others: true, **redirects)
      to_us.close
      @waiter = Thread.new { await }
      @reader = Thread.new { read(from_child) }
    end

    def await
      _, @status = Process.wait2(@pid)
      @ended_at = Rig.now
    end

    def read(pipe)
      pipe.each_line(chomp: true) do |line|
        @mutex.synchronize { remember(line) && @changed.broadcast }
        @on_line&.call(line)
      end
    ensure
      pipe.close
      @mutex.synchronize { (@output_over = true) && @changed.broadcast }
    end

    def remember(line)
      @lines.shift if @lines.size >= @keep
      @lines << line
    end
  end
end
