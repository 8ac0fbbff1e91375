# frozen_string_literal: true

# A terminal that a program has for itself: another screen than the shell's, keys as they are pressed, and all put back in the end.

module Tidegate
  module Control
    class Screen
      ENTER = "\e[?1049h\e[?25l"
      LEAVE = "\e[?25h\e[?1049l"
      HOME = "\e[H"
      REST_OF_LINE = "\e[K"
      REST_OF_SCREEN = "\e[J"

      # q, Ctrl-C, Ctrl-D, and Escape alone.
      QUIT = ["q", "Q", "\u0003", "\u0004", "\e"].freeze

      # +input+ and +output+ are one terminal.
      def initialize(input, output)
        require "io/console" # which not every Ruby has that loads this
        @input = input
        @output = output
        @news, @bell = IO.pipe
      end

      # Calls the block to have the screen drawn anew: it gets width and height and returns lines. Returns when the user has quit.
      def run(&draw)
        before = trap("WINCH") { wake }
        @output.print(ENTER)
        @input.raw { show_until_quit(draw) }
      ensure
        trap("WINCH", before || "DEFAULT")
        @output.print(LEAVE)
        @output.flush
      end

      # There is something new to draw. Allowed in a trap and in any thread.
      def wake
        @bell.write_nonblock(".", exception: false)
      end

      private

      def show_until_quit(draw)
        loop do
          show(draw)
          ready, = IO.select([@input, @news])
          @news.read_nonblock(1024, exception: false) if ready.include?(@news)
          return if ready.include?(@input) && quit?
        end
      end

      def quit?
        keys = @input.read_nonblock(64, exception: false)
        # nil is the end of the input: the terminal is gone.
        keys.nil? || (keys.is_a?(String) && (QUIT.include?(keys) || keys.match?(/\A[^\e]*[qQ\u0003\u0004]/)))
      rescue SystemCallError
        true
      end

      # One write, so that nothing flickers. In raw mode a line needs its carriage return.
      def show(draw)
        height, width = @output.winsize
        # Some terminals tell no size.
        height, width = [[height, 24], [width, 80]].map { |told, usual| told.zero? ? usual : told }
        lines = draw.call(width, height).first(height)
        @output.print(HOME, lines.map { |line| "#{line}#{REST_OF_LINE}" }.join("\r\n"), REST_OF_SCREEN)
        @output.flush
      end
    end
  end
end
