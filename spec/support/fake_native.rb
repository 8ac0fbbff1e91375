# frozen_string_literal: true

# Stands in for the compiled Tidegate::Native, with Ruby queues in the place of sockets: a spec can take each step
# itself and look at what was asked for. In a group that includes it Tidegate::Native is the fake.
module FakeNative
  # One server. What blocks in the real one blocks here, and is ended by a signal.
  class Server
    attr_reader :app, :settings, :env_template, :delivery, :hijacked, :log, :errors, :calls, :demands, :jobs, :phase, :max_threads, :signals, :guarded, :shown_settings,
                :questions, :answers, :relayed
    attr_accessor :on_bind, :on_listen, :status, :deaf

    # Takes the keywords that the real one takes, and no other.
    def initialize(app, settings, env_template: {}, delivery: nil, hijacked: nil, log: nil, errors: nil, relayed: nil)
      @app = app
      @settings = settings
      @env_template, @delivery, @hijacked, @log, @errors, @relayed = env_template, delivery, hijacked, log, errors, relayed
      @calls = []
      @demands = Queue.new
      @jobs = Queue.new
      @stopped = Queue.new
      @arrivals = Queue.new
      @questions = Queue.new
      @answers = Queue.new
      @phase = :booting
      @status = 0
    end

    def bind
      @calls << :bind
      on_bind&.call
      nil
    end

    def guard_boot(signals) = @guarded = signals

    def listen(max_threads, signals = nil)
      @calls << :listen
      @max_threads = max_threads
      @signals = signals
      on_listen&.call
      @phase = :ready
      settings.fetch(:bind).map { |bind| bind.sub(/:0\z/, ":40123") }
    end

    # Keeps what the admin listener is to show.
    def show_settings(text) = @shown_settings = text

    def publish_gc(*) = nil

    # A thread answers the questions that the spec pushes, until the server has stopped.
    def next_question = @questions.pop

    def answer(*answer) = @answers << answer

    def admin_address = settings.fetch(:admin)

    # A worker: runs the jobs that the spec pushes, until the server has stopped.
    def work
      @arrivals << Thread.current
      while (job = @jobs.pop)
        job.call
      end
    end

    # The thread of the next worker that begins to work; nil when none does.
    def next_worker(within: 5) = @arrivals.pop(timeout: within)

    def demand = @demands.pop || :stopped

    def forget_requested = nil

    def decline = @calls << :decline

    def next_unfinished = nil

    def await_stop = @stopped.pop

    def await_closing = @stopped.pop

    def drain_delay = 0.0

    # Stops at once, unless the spec has made it deaf. Nothing here may lock: it is called in a trap.
    def signal(name)
      @calls << [:signal, name]
      finish unless deaf
    end

    # Leaves the lines to Ruby.
    def print(_lines, _error) = false

    # None of its lines go through the app's code.
    def attend_lines = nil

    def leave_lines = nil

    def next_lines = @stopped.pop

    def ignore_signals = nil

    def stop(drain)
      @calls << [:stop, drain]
      finish unless deaf
    end

    # Ends the server, as the spec wants it.
    def finish
      @phase = :stopped
      [@demands, @jobs, @stopped, @questions].each(&:close)
    end

    def join(timeout = nil)
      @stopped.pop(timeout:)
      @stopped.closed?
    end

    def exit_status = status

    def stats = { requests: 0 }
  end

  # What stands for the class Tidegate::Native::Server: it makes servers and remembers them.
  class Factory
    attr_reader :servers, :exits, :arenas
    attr_writer :prepare

    def initialize
      @servers = []
      @exits = []
      @arenas = []
    end

    def new(app, settings, env_template:, delivery:, hijacked:, log:, errors:, relayed: nil)
      Server.new(app, settings, env_template:, delivery:, hijacked:, log:, errors:, relayed:).tap do |server|
        @prepare&.call(server)
        @servers << server
      end
    end

    # The last server that was made.
    def server = servers.last
  end

  def self.included(group)
    group.around do |example|
      @fake_native = Factory.new
      FakeNative.in_place(@fake_native) { example.run }
    end
  end

  # Runs the block with the fake as Tidegate::Native. The constant may be one that would still be autoloaded, which
  # stub_const would do: these specs are to run where nothing is compiled.
  def self.in_place(factory)
    before = Tidegate.const_get(:Native) unless Tidegate.autoload?(:Native)
    replace(native(factory)) { yield }
  ensure
    before ? Tidegate.const_set(:Native, before) : Tidegate.autoload(:Native, "tidegate/native")
  end

  def self.replace(native)
    Tidegate.send(:remove_const, :Native)
    Tidegate.const_set(:Native, native)
    yield
  ensure
    Tidegate.send(:remove_const, :Native)
  end

  def self.native(factory)
    Module.new do
      const_set(:Server, factory)
      define_singleton_method(:plan) { |_settings| { drain_delay: 0.0, shutdown_timeout: 30.0, budget: nil, clamped: [] } }
      define_singleton_method(:exit_within) { |seconds, status| factory.exits << [seconds, status] }
      define_singleton_method(:knows_threads?) { true }
      define_singleton_method(:limit_arenas) { |count| factory.arenas << count }
      define_singleton_method(:adjust_memory_usage) { |_bytes| nil }
      define_singleton_method(:threads_start?) { |_count| true }
    end
  end

  # The fake; the block prepares each server that is made.
  def fake_native(&prepare)
    @fake_native.prepare = prepare if prepare
    @fake_native
  end
end
