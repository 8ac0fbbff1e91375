# frozen_string_literal: true

# request_timeout: the thread of a request that the app has had for too long is interrupted by a RequestTimeout. The native side
# has answered the client by then. Only the app's own code is interrupted, and only in the request that was too long:
#
# - A worker masks RequestTimeout (Thread.handle_interrupt) everywhere but in the call of the app.
# - The exception is raised under a lock, after a look at whether the app is still at it. A worker whose app returns too late
#   takes the lock too, and then drops the exception if it is still to come. Its next request cannot get it.
# - It is not raised while the thread runs an `ensure` clause because of another exception, or gives a connection back to
#   ActiveRecord's pool, but after that. The look and the raise are done in one go with the GVL, and Ruby raises where the thread
#   was when it lost the GVL, so that it does not get into one meanwhile.

module Tidegate
  class Interrupter
    IMMEDIATE = { RequestTimeout => :immediate }.compare_by_identity.freeze
    NEVER = { RequestTimeout => :never }.compare_by_identity.freeze
    private_constant :IMMEDIATE, :NEVER

    # Seconds between looks at a thread that must not be interrupted where it is.
    RETRY = 0.1

    # A level of a backtrace in which no exception may be raised, as in an `ensure` clause: what comes then would be left half done.
    CHECKIN = %r{/active_record/connection_adapters/abstract/connection_pool\.rb:\d+:in [`'](?:.*[#.])?(?:checkin|release|remove|release_connection)'}
    private_constant :CHECKIN

    # A request whose time is over. +thread+ and +exchange+ are nil if its worker came back at once.
    Late = Struct.new(:method, :path, :seconds, :thread, :exchange)
    private_constant :Late

    # Runs the block, in which no RequestTimeout is raised but in #call.
    def self.mask(&) = Thread.handle_interrupt(NEVER, &)

    # +limit+ is request_timeout, for the log.
    def initialize(limit, log)
      @limit = limit
      @log = log
      @lock = Mutex.new
      @late = []
      @ensure_clauses = EnsureClauses.new
    end

    # Interrupts the threads of +native+, a Native::Server, from now on.
    def start(native)
      @thread = KeptThread.new("tidegate timeouts", @log) { watch(native) }.start
      self
    end

    # Ends that. Of what was late before the server had stopped, the lines are printed, for up to +seconds+.
    def finish(seconds) = @thread&.join(seconds) || @thread&.kill

    # Calls the app. Runs on a worker.
    def call(app, env, exchange)
      Thread.handle_interrupt(IMMEDIATE) { app.call(env) }
    ensure
      settle unless exchange.returned
    end

    private

    # The app has returned too late. From here on the interrupter leaves this request alone; what it has raised comes now, or has.
    def settle
      @lock.synchronize { nil }
      Thread.handle_interrupt(IMMEDIATE) { nil } if Thread.pending_interrupt?(RequestTimeout)
    rescue RequestTimeout
      nil
    end

    def watch(native)
      until (request = native.next_overdue(@late.empty? ? nil : RETRY)) == false
        late = Late.new(*request) if request
        backtrace = add(late) if late
        @late.reject! { |it| interrupt(it) }
        # What the line says is done by then.
        report(late, backtrace, waits: @late.include?(late)) if late
      end
    end

    # Returns where the thread is, if the app still has the request.
    def add(late)
      backtrace = late.exchange&.overdue? ? late.thread.backtrace&.take_while { |level| !level.start_with?(__FILE__) } : nil
      @late << late if backtrace
      backtrace
    end

    # Returns false where that has to wait.
    def interrupt(late)
      # With a slice of its own for the look and the raise: of the one before, the compiler has left little.
      Thread.pass if @ensure_clauses.learn(late.thread.backtrace_locations.to_a)
      @lock.synchronize do
        levels = late.exchange.overdue? ? late.thread.backtrace_locations : nil
        return true unless levels
        return false if levels.any? { |level| level.to_s.match?(CHECKIN) } || @ensure_clauses.cover?(levels)

        late.thread.raise(error(late))
      end
      true
    end

    def error(late)
      RequestTimeout.new(format("%s %s has not returned within request_timeout (%g s)", late.method, late.path, @limit))
    end

    # +waits+ where the thread may not be interrupted yet.
    def report(late, backtrace, waits:)
      error = error(late)
      error.set_backtrace(backtrace || [])
      fate = if waits then "its thread is interrupted when it has left an ensure clause, or given a connection back"
             else backtrace ? "its thread is interrupted" : "the app has returned meanwhile"
             end
      fields = { method: late.method, path: late.path, seconds: late.seconds.round(3) }
      @log.report(error, event: "request_timeout", **fields) { "#{error.message}: answered with 504, #{fate}" }
    end
  end
end
