# frozen_string_literal: true

# The signals that end a server: who gets them, from the first moment of the boot to the last of the drain.
#
# From the moment in which the server listens, its native side hears the signals by itself, when they are delivered; Ruby
# runs a trap only when it gets to it, and what it reports then is known already.
#
# HUP, which a terminal sends when it closes, is one of them, unless whoever started the process wants it ignored (nohup).
# USR1 and USR2, which restart Puma and are not used here yet, change nothing, where they would otherwise end the process.
#
# While the app boots, a signal ends the boot at once, wherever it is. While the server starts to listen, signals are
# kept for it. After that the server gets each of them, and the trap does nothing else.

module Tidegate
  class Signals
    NAMES = %w[TERM INT QUIT HUP].freeze

    # Those whose handler the app may replace: nothing of ours depends on them.
    UNUSED = %w[USR1 USR2].freeze

    # Ends the boot. A SystemExit, so that it goes past the `rescue => error` around somebody's `require`.
    class Stopped < SystemExit
      # The signal, as in "SIGTERM".
      attr_reader :signal

      def initialize(name)
        @signal = "SIG#{name}"
        super(0, "#{@signal} during boot")
      end
    end

    def initialize(log = Log.new)
      @log = log
      @owner = Process.pid
      @handlers = NAMES.to_h { |name| [name, proc { deliver(name) }] }
      @previous = {}
    end

    # Puts our handlers in place. Only the main thread runs traps and can be stopped by one, so that a server which is
    # launched from another thread, as in a test suite, leaves the signals of its process alone.
    def install
      return unless Thread.current == Thread.main

      @handlers.each { |name, handler| @previous[name] = Signal.trap(name, handler) }
      UNUSED.each { |name| @previous[name] = Signal.trap(name) { pass_over(name) } }
      leave_ignored("HUP")
    end

    def installed? = !@previous.empty?

    # The signals that the server is to hear by itself, as Symbols; nil where they are another's.
    def names = (@handlers.keys.map(&:to_sym) if installed?)

    # Whether the server has been given one.
    def told? = @told == true

    # Puts our handlers back where the app has installed its own while it booted, and returns those signals' names.
    #
    # The app's handler is not called any more, not even after ours. What such a handler does is to exit, or to stop
    # a part of the app; either would cut off requests that the drain is there to finish. Code that is to run at the
    # end belongs in at_exit, which runs when the last response is out.
    def reclaim
      return [] unless installed?

      @handlers.filter_map { |name, handler| name unless Signal.trap(name, handler).equal?(handler) }
    end

    # Runs the block and ends the boot after it if a signal came meanwhile: native code is loaded in it, which nothing may
    # be raised through.
    def defer
      @deferring = true
      yield
    ensure
      @deferring = false
      check
    end

    # Ends the boot now if a signal came that some `rescue Exception` has swallowed.
    def check
      raise Stopped, @caught if @caught
    end

    # Runs the block, which makes +server+ listen, and gives it the signals that came meanwhile and all later ones.
    # A signal that ended the block half-way would lose the connections that were accepted already.
    def hand_over(server)
      @held = []
      yield
      @server = server
      @held.each { |name| server.signal(name.to_sym) }
    end

    # Puts the handlers back that were there before ours.
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

    # Runs in a trap, where nothing may be locked, and so not be printed.
    def pass_over(name)
      return leave(name) unless Process.pid == @owner

      Thread.new { @log.info("SIG#{name} does nothing here; TERM stops the server, and a restart is a new process") }
    end

    # Runs in the trap.
    def deliver(name)
      return leave(name) unless Process.pid == @owner
      @told = true
      return @server.signal(name.to_sym) if @server
      return @held << name if @held

      @caught = name
      raise Stopped, name unless @deferring
    end

    # In a process that the app has forked there is no server to tell: do what would have been done without us.
    def leave(name)
      Signal.trap(name, "DEFAULT")
      Process.kill(name, Process.pid)
    end
  end
end
