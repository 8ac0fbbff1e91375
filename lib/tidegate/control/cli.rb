# frozen_string_literal: true

# The command line of `tidegate ctl`, also known as `tidegatectl`: Puma's pumactl, with its options and its commands.

require "optparse"

module Tidegate
  module Control
    class CLI
      BANNER = <<~TEXT
        Usage: tidegate ctl [options] COMMAND

        Looks at a running server and steers it: over its admin listener, or by signals where it has none. Without options the
        server is the one that the configuration here is for. Exits 0, 1 where the command failed, 2 where it was written wrongly.
      TEXT

      WIDTH = 32

      # Runs the command.
      # @param argv [Array<String>]
      # @return [Integer] the exit status
      def self.run(argv, env: ENV, out: $stdout, err: $stderr) = new(env:, out:, err:).run(argv)

      def initialize(env: ENV, out: $stdout, err: $stderr)
        @env = env
        @out = out
        @err = err
        @given = {}
      end

      def run(argv)
        answer = catch(:answer) do
          command, rest = parse(argv)
          return command.name == "start" ? start(rest) : carry_out(command)
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
        @err.puts "tidegate ctl: #{Printable.line(sentence)}"
        status
      end

      # The Command, and the words behind it, which only `start` takes.
      def parse(argv)
        name, *rest = parser.order(argv)
        raise usage("a command is missing: #{Commands::ALL.map(&:name).join(", ")}") unless name

        command = Commands.find(name)
        rest = parser.parse(rest) unless name == "start"
        raise usage("#{name} takes no #{rest.first}") unless name == "start" || rest.empty?

        [command, rest]
      rescue OptionParser::ParseError => error
        raise usage("#{error.message}; see tidegate ctl --help")
      end

      def usage(sentence) = Failure.new(sentence, status: Failure::USAGE)

      def parser
        @parser ||= OptionParser.new(BANNER, WIDTH) do |parser|
          parser.require_exact = true
          parser.separator("\nCommands:")
          Commands::ALL.each { |command| parser.separator("    #{command.names.join(", ").ljust(WIDTH)} #{command.text}") }
          parser.separator("\nOptions:")
          add_options(parser)
        end
      end

      def add_options(parser)
        TargetOptions.add_to(parser, @given)
        parser.on("-P", "--pidfile PATH", "pidfile of the server: by signals") { |path| @given[:pidfile] = path }
        parser.on("-p", "--pid PID", Integer, "process of the server: by signals") { |pid| @given[:pid] = positive(pid) }
        parser.on("-Q", "--quiet", "print nothing where nothing was asked for") { @quiet = true }
        parser.on("--json", "print the server's answer as it is") { @json = true }
        parser.on("-V", "--version", "print the version") { throw :answer, "tidegate ctl #{VERSION}" }
        parser.on("-h", "-H", "--help", "print this") { throw :answer, parser.help }
      end

      def positive(pid)
        pid.positive? ? pid : raise(usage("a process has a number above 0"))
      end

      def carry_out(command)
        target = Target.find(@given, @env)
        if target.url && command.path then return ask(command, target)
        elsif command.signal && target.pid then signal(command, target)
        else raise Failure, impossible(command, target)
        end
        0
      end

      def impossible(command, target)
        return "#{command.name} is a signal: give the process with -p PID, -P PIDFILE or -S STATE" if target.url

        "#{command.name} needs the admin listener of the server, and none is known: set admin there, and give -C URL or -S STATE"
      end

      def ask(command, target)
        answer = Client.new(target.url, token: target.token)
                       .request(command.verb, command.path, timeout: command.name == "drain" ? nil : Client::ANSWER_TIMEOUT)
        raise Failure, Output.failure(command.name, answer) unless answer.ok?

        @json ? @out.puts(answer.body) : say(Output.done(command.name, answer.body), asked: command.verb == "GET")
        Output.partial?(command.name, answer.body) ? 1 : 0
      rescue Failure => failure
        # The better sentence, where the process of the state file is gone.
        Signaller.new(target).check if target.pid
        raise failure
      end

      def signal(command, target)
        signaller = Signaller.new(target)
        case command.signal
        when "EXIT" then signaller.check
        when "INT" then signaller.halt
        else signaller.send(command.signal)
        end
        say(command.signal == "EXIT" ? "process #{target.pid} runs" : "#{command.name}: process #{target.pid} was sent SIG#{command.signal}",
            asked: command.signal == "EXIT")
      end

      def say(text, asked:)
        @out.puts text unless @quiet && !asked
      end

      # Starts a server with what was given, as pumactl does.
      def start(rest)
        flags = { config: "--config", environment: "--environment", pidfile: "--pidfile", url: "--admin", state: "--state" }
        words = flags.flat_map { |key, flag| @given.key?(key) ? [flag, @given[key]] : [] }
        # Not as a flag, which ps would show.
        @env["TIDEGATE_ADMIN_TOKEN"] = @given[:token] if @given[:token]
        Tidegate::CLI.run([*words, *rest], env: @env, out: @out, err: @err)
      end
    end
  end
end
