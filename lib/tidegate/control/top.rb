# frozen_string_literal: true

# `tidegate top`: a live table of a running server in the terminal, or the table once where there is no terminal.

require "optparse"

module Tidegate
  module Control
    class Top
      BANNER = <<~TEXT
        Usage: tidegate top [options] [URL]

        Shows what a running server is doing, by its admin listener: its workers, threads, queue and waits. q quits. Where the
        output is no terminal, the table is printed once.
      TEXT

      WIDTH = 32

      # Runs the command, and returns the exit status.
      def self.run(argv, env: ENV, out: $stdout, err: $stderr, input: $stdin) = new(env:, out:, err:, input:).run(argv)

      def initialize(env: ENV, out: $stdout, err: $stderr, input: $stdin)
        @env = env
        @out = out
        @err = err
        @input = input
        @given = {}
        @interval = 1.0
      end

      def run(argv)
        answer = catch(:answer) do
          client = client(argv)
          [@input, @out].all? { |io| io.respond_to?(:tty?) && io.tty? } ? watch(client) : print_once(client)
          return 0
        end
        @out.puts answer
        0
      rescue Failure => failure
        fail_with(failure.message, failure.status)
      rescue Error => error
        fail_with(error.message, 1)
      rescue Interrupt
        130
      end

      private

      def fail_with(sentence, status)
        @err.puts "tidegate top: #{Printable.line(sentence)}"
        status
      end

      def client(argv)
        url, *rest = parser.parse(argv)
        raise usage("one server can be watched, and #{url} is followed by #{rest.first}") if rest.any?

        @given[:url] = url if url
        target = Target.find(@given, @env)
        raise Failure, "top needs the admin listener of the server, and none is known: give its address, -C URL or -S STATE" unless target.url

        Client.new(target.url, token: target.token)
      rescue OptionParser::ParseError => error
        raise usage("#{error.message}; see tidegate top --help")
      end

      def usage(sentence) = Failure.new(sentence, status: Failure::USAGE)

      def parser
        OptionParser.new(BANNER, WIDTH) do |parser|
          parser.require_exact = true
          parser.separator("\nOptions:")
          TargetOptions.add_to(parser, @given)
          parser.on("-i", "--interval SECONDS", Float, "seconds between two looks (default: 1)") do |seconds|
            raise usage("the interval is a number from 0.1 to 3600") unless seconds.between?(0.1, 3600)

            @interval = seconds
          end
          parser.on("-V", "--version", "print the version") { throw :answer, "tidegate top #{VERSION}" }
          parser.on("-h", "-H", "--help", "print this") { throw :answer, parser.help }
        end
      end

      # Looks twice, because there is no rate without a time.
      def print_once(client)
        before = take(client)
        sleep(@interval)
        @out.puts Table.new(take(client), before, url: client.url).lines
      end

      # A thread looks, so that a server that does not answer keeps no key waiting.
      def watch(client)
        take(client) # what is wrong from the start is said in the terminal that the user has
        screen = Screen.new(@input, @out)
        looks = Thread.new { look(client, screen) }
        looks.report_on_exception = false
        screen.run { |width, height| lines(client, width, height) }
      ensure
        looks&.kill
      end

      def look(client, screen)
        loop do
          numbers = take(client)
          @seen = [numbers, @seen&.first, nil]
        rescue Failure => failure
          @seen = [@seen&.first, nil, failure.message]
        ensure
          screen.wake
          sleep(@interval)
        end
      end

      # The last table stays while the server does not answer, with a line about that.
      def lines(client, width, height)
        now, before, failure = @seen
        return [failure || "asking #{client.url} ..."] unless now

        notice = failure ? ["", "asking again: #{Printable.line(failure)}"[0, width]] : []
        Table.new(now, before, url: client.url).lines(width:, height: height - notice.size) + notice
      end

      def take(client) = Numbers.take(client, at: Process.clock_gettime(Process::CLOCK_MONOTONIC))
    end
  end
end
