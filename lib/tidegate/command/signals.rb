# frozen_string_literal: true

# The signals that end a server, from the first moment of the boot to the last of the drain.
#
# While the app boots, a signal ends the boot at once, wherever it is. While the server starts to listen, signals are kept for
# it. After that the trap passes each signal on to the server, and does nothing else.
#
# Once the server listens, its native side handles the signals itself, when they are delivered. Ruby runs a trap only at its next
# safe point, and the native side ignores a signal that it has handled already.
#
# HUP, which a terminal sends when it closes, is one of them where the process has a controlling terminal, unless it was started with
# HUP ignored (nohup), or its output goes to files that HUP opens anew. The signals that are meant for workers print a sentence
# (OtherSignals).

module Tidegate
  class Signals
    NAMES = %w[TERM INT QUIT HUP].freeze

    # Signals that the server does not use. The app may trap them.
    UNUSED = %w[USR2].freeze

    # Signals that print the backtraces of all threads, by what the system has: as in Puma.
    BACKTRACES = (%w[PWR INFO] & Signal.list.keys).freeze

    # Ends the boot. It is a SystemExit, so that a `rescue => error` around a `require` in the app does not catch it.
    class Stopped < SystemExit
      # The signal, as in "SIGTERM".
      attr_reader :signal

      def initialize(name)
        @signal = "SIG#{name}"
        super(0, "#{@signal} during boot")
      end
    end

    # +names+ are the signals that end this server.
    def initialize(log = Log.new, names: NAMES)
      @log = log
      @owner = Process.pid
      @handlers = names.to_h { |name| [name, proc { deliver(name) }] }
      @previous = {}
    end

    # What USR2 does: a block that is called in a thread of its own.
    attr_writer :on_restart

    # Installs the traps. Only the main thread runs traps and can be stopped by one, so that a server which is launched from
    # another thread, as in a test suite, leaves the signals of its process alone.
    def install
      return unless Thread.current == Thread.main

      others = OtherSignals.names
      @handlers.reject! { |name, _| others.include?(name) }
      @handlers.each { |name, handler| @previous[name] = Signal.trap(name, handler) }
      [*UNUSED, *others].each { |name| @previous[name] = Signal.trap(name) { pass_over(name) } }
      BACKTRACES.each { |name| @previous[name] = Signal.trap(name) { print_backtraces(name) } }
      leave_ignored("HUP")
    end

    # From now on HUP calls the block, in a thread of its own, and does not stop the server.
    def on_hangup(&block)
      return unless installed?

      @on_hangup = block
      @handlers.delete("HUP")
      before = Signal.trap("HUP") { pass_over("HUP") }
      @previous["HUP"] = before unless @previous.key?("HUP")
    end

    def installed? = !@previous.empty?

    # The signals that the native side is to handle, as Symbols; nil if no traps are installed.
    def names = (@handlers.keys.map(&:to_sym) if installed?)

    # Whether a signal has come.
    def told? = !@told.nil?

    # The name of the last that has; nil where none has.
    attr_reader :told

    # From now on signals end nothing. #take returns those that have come since its last call.
    def hold = @held = []

    def take = @held.shift(@held.size)

    # Installs the traps again where the app has installed its own while it booted, and returns the names of those signals.
    #
    # The app's trap is not called any more. Such a trap usually exits, or stops a part of the app, and either would cut off
    # requests that the drain is there to finish. Code for the end of the process belongs in at_exit, which runs when the last
    # response has been sent.
    def reclaim
      return [] unless installed?

      @handlers.filter_map { |name, handler| name unless Signal.trap(name, handler).equal?(handler) }
    end

    # The sentence about signals that the app has trapped.
    def self.reclaimed(names) = "the app has trapped #{names.join(" and ")}; its handler is not used, at_exit runs after the last request"

    # Runs the block, and ends the boot after it if a signal came meanwhile. The block loads native code, and a trap must not raise
    # through that.
    def defer
      @deferring = true
      yield
    ensure
      @deferring = false
      check
    end

    # Ends the boot now if a signal came before, and a `rescue Exception` in the app has swallowed it.
    def check
      raise Stopped, @caught if @caught
    end

    # Runs the block, which makes +server+ listen, and then passes on to the server the signals that came meanwhile, and all later
    # ones. A signal must not end the block half-way, because connections that were accepted already would be lost.
    def hand_over(server)
      @held = []
      yield
      @server = server
      @held.each { |name| server.signal(name.to_sym) }
    end

    # Restores the traps that were there before #install.
    def restore
      @server&.ignore_signals
      @previous.each { |name, handler| Signal.trap(name, handler || "DEFAULT") }
      @previous = {}
    end

    private

    def leave_ignored(name)
      return unless @previous[name] == "IGNORE"

      Signal.trap(name, @previous.delete(name))
      @handlers.delete(name)
    end

    # Runs in a trap, which must not lock a Mutex, and so must not print: a thread does.
    def pass_over(name)
      return leave(name) unless Process.pid == @owner
      return Thread.new(&@on_restart) if name == "USR2" && @on_restart

      return Thread.new(&@on_hangup) if name == "HUP" && @on_hangup

      Signal.trap(name, "IGNORE") if OtherSignals::ONCE.include?(name)
      unused = "SIG#{name} does nothing here; TERM stops the server, and a restart is a new process"
      Thread.new { @log.info(OtherSignals::SENTENCES.fetch(name, unused)) }
    end

    # Runs in a trap, as above.
    def print_backtraces(name)
      return leave(name) unless Process.pid == @owner

      Thread.new { Backtraces.new.print(@log, "SIG#{name}") }.name = "tidegate backtraces"
    end

    # Runs in a trap.
    def deliver(name)
      return leave(name) unless Process.pid == @owner
      @told = name
      return @server.signal(name.to_sym) if @server
      return @held << name if @held

      @caught = name
      raise Stopped, name unless @deferring
    end

    # Called in a child that the app has forked, which has no server: the signal does what it does without a trap.
    def leave(name)
      Signal.trap(name, "DEFAULT")
      Process.kill(name, Process.pid)
    end
  end
end
