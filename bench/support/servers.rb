# frozen_string_literal: true

require "open3"
require "shellwords"
require "socket"
require_relative "interpreter"
require_relative "rivals"

# How each web server is started, and when it is ready. One entry per server that the tools know by name;
# any other is a command, or NAME=command, with {host} and {port}, or {addr}, and {app} in it.
module Rig
  ROOT = File.expand_path("../..", __dir__)

  # A server that can be started: `command` has placeholders, `ready` is the line that says so (nil: it accepts).
  Kind = Struct.new(:name, :command, :ready, :env) do
    def start(host:, port:, app:, drain_delay: 0, &on_line)
      values = { "host" => host, "port" => port, "addr" => "#{host}:#{port}", "app" => app, "drain_delay" => drain_delay }
      argv = command.map { |word| word.gsub(/\{(\w+)\}/) { values.fetch($1) { $& }.to_s } }
      Server.new(self, host, port, Child.new(argv, name:, env:, redirects: { chdir: ROOT }, &on_line))
    end
  end

  # A server process at an address.
  class Server
    attr_reader :kind, :host, :port, :child

    def initialize(kind, host, port, child)
      @kind, @host, @port, @child = kind, host, port, child
    end

    def address = "#{host}:#{port}"

    # The same server, reached elsewhere.
    def at(host, port) = Server.new(kind, host, port, child)

    # Waits until it serves; raises with the end of its output when it does not.
    def ready!(within: 20)
      return self if kind.ready ? child.wait_for_line(kind.ready, within:) : accepts?(within)

      child.stop
      raise Unavailable, "#{kind.name} did not start on #{address} (#{child.outcome}): #{child.output.last(8).join(' | ')}"
    end

    private

    def accepts?(within)
      limit = Rig.now + within
      loop do
        TCPSocket.new(host, port).close
        return true
      rescue SystemCallError
        return false if Rig.now > limit || child.wait(within: 0.02) # waits for its end, not for luck
      end
    end
  end

  module Servers
    THREADS = "5:5"
    BEHIND_HAPROXY = File.join(__dir__, "behind_haproxy.rb")
    PUMA_READY = /Use Ctrl-C to stop/
    PUMA_BOOTED = /Worker \d+ .*booted/
    KNOWN = "tidegate, tidegate-tied, puma, puma8, haproxy+puma, haproxy+puma8, #{Rivals::ALL.keys.join(', ')}".freeze

    module_function

    # The server of that name, or of that command. `threads` is for those that have them, MIN:MAX or one number; nil leaves
    # the server its own default. `workers` is how many processes serve under a master; nil is one process without. `path` is where a
    # gem's server is, as Rivals.find has it.
    def find(name, threads: THREADS, workers: nil, path: nil, ruby: Interpreter.default)
      kind = alone(name, threads:, workers:, path:, ruby:)
      kind = kind.dup.tap { |it| it.env = ruby.env.merge(it.env) }
      return kind unless workers

      Kind.new(kind.name, kind.command, kind.ready == PUMA_READY ? PUMA_BOOTED : kind.ready, kind.env.merge("WEB_CONCURRENCY" => workers.to_s))
    end

    # The same as one process.
    def alone(name, threads:, workers: nil, path: nil, ruby: Interpreter.default)
      case name
      when "tidegate" then tidegate(threads:, path:, ruby:)
      when "tidegate-tied" then tidegate(threads:, name:, flags: ["--no-hand-over"], path:, ruby:)
      when "puma" then puma(threads:, path:, ruby:)
      when /\Apuma(\d+)\z/ then path ? puma(name:, threads:, path:, ruby:) : puma_beside(name, threads:, ruby:)
      when /\Ahaproxy\+(puma\d*)\z/ then behind_haproxy(alone($1, threads:, ruby:))
      when *Rivals::ALL.keys then rival(name, threads:, workers:, path:, ruby:)
      when /\A(?:([\w.-]+)=)?(.*\{(?:port|addr)\}.*)\z/m then command($1, Shellwords.split($2))
      else raise Unavailable, "unknown server #{name.inspect}: #{KNOWN}, or [NAME=]command with {host} and {port}, or {addr}"
      end
    end

    # Whether there is such a server at all, on some machine.
    def known?(name) = KNOWN.split(", ").include?(name) || name.match?(/\A(?:haproxy\+)?puma\d+\z|\{(?:port|addr)\}/)

    # Whether it has a number of threads that is to be found out: Tidegate's is part of what is compared.
    def threads?(name) = name.match?(/\A(?:haproxy\+)?puma\d*\z/) || Rivals.threads?(name)

    # Any other server, by the name it was given or that of its program.
    def command(name, words)
      Kind.new(name || File.basename(words.first), words, nil, {})
    end

    # Outside Bundler, as the others are, so that memory and start-up compare. `path` is another working copy than this one.
    def tidegate(threads: THREADS, name: "tidegate", flags: [], path: nil, ruby: Interpreter.default)
      root = path ? File.expand_path(path) : ROOT
      extension(root, path, ruby)
      Kind.new(name, ruby.command("-I#{root}/lib", "#{root}/exe/tidegate", "-b", "tcp://{host}:{port}", *threads(threads), *connections(threads),
                                  "-e", "production", "--drain-delay", "{drain_delay}", *flags, "{app}"), /^tidegate: ready on /, {})
    end

    # Ruby loads one that was compiled for another Ruby, and fails later.
    def extension(root, path, ruby)
      return if File.exist?(File.join(root, "lib/tidegate/#{ruby.api}/tidegate.so"))
      raise Unavailable, "tidegate is not compiled#{" in #{root}" if path} yet: bin/setup, then rake compile" unless File.exist?(File.join(root, "lib/tidegate/tidegate.so"))
      return if path || ruby.api == Interpreter.default.api

      raise Unavailable, "tidegate is compiled here for Ruby #{Interpreter.default.api}: compile it with bin/with-ruby #{ruby.path}, and give tidegate=PATH of the copy"
    end

    def puma(name: "puma", threads: THREADS, path: nil, ruby: Interpreter.default)
      gems = path if path && File.directory?(path)
      found = gems || path.nil? ? ruby.executable("puma", gems:) : path
      found ||= program("puma") unless path
      raise Missing, path ? "#{name} is not at #{path}" : "puma is not here: bin/setup test" unless found && File.exist?(found)

      # Its compiled part may be for another Ruby.
      words, env = ruby.command(found), ruby.gem_path(gems)
      raise Missing, "the #{name} here does not run on #{ruby.path}" unless system(ruby.env.merge(env), *words, "--version", out: File::NULL, err: File::NULL)

      Kind.new(name, [*words, *puma_flags(threads)], PUMA_READY, env)
    end

    # A Puma that is not the installed one, fetched into the cache by bin/peer-gems.
    def puma_beside(name, cached: false, threads: THREADS, ruby: Interpreter.default)
      raise Missing, "bin/peer-gems has #{name} for `ruby` alone; for #{ruby.path} give it as #{name}=PATH" unless ruby.path == Interpreter.default.path

      flags = cached ? ["--cached"] : []
      entry, status = Open3.capture2(File.join(ROOT, "bin/peer-gems"), *flags, name)
      raise Missing, "bin/peer-gems #{name} has no such gem for this Ruby" unless status.success?

      script = Dir[*entry.chomp.split(":").map { |dir| "#{dir}/gems/puma-*/bin/puma" }].first
      path = [entry.chomp, *Gem.path].join(":")
      Kind.new(name, ruby.command(script, *puma_flags(threads)), PUMA_READY, { "GEM_PATH" => path })
    end

    # The same behind HAProxy, as one: what they use is taken together.
    def behind_haproxy(kind)
      command = kind.command.map { |word| word == "tcp://{host}:{port}" ? "{bind}" : word }
      Kind.new("haproxy+#{kind.name}", ["ruby", BEHIND_HAPROXY, "tcp://{host}:{port}", *command], kind.ready, kind.env)
    end

    # `threads` may be MIN:MAX: these have one number.
    def rival(name, threads: nil, workers: nil, path: nil, ruby: Interpreter.default)
      command, env, ready = Rivals.find(name, path:, threads: threads&.to_s&.split(":")&.last, workers:, ruby:)
      Kind.new(name, command, ready, env)
    end

    def program(name) = ENV["PATH"].split(":").map { |dir| File.join(dir, name) }.find { |path| File.executable?(path) }

    def threads(count) = count ? ["-t", count.to_s.include?(":") ? count.to_s : "#{count}:#{count}"] : []

    # With thousands of threads as many connections: the default keeps descriptors back that the bench's apps do not need, and clients
    # waited in vain.
    def connections(threads)
      most = threads.to_s.split(":").last.to_i
      most >= 1000 ? ["--max-connections", most.to_s] : []
    end

    def puma_flags(count) = ["-b", "tcp://{host}:{port}", *threads(count), "-e", "production", "{app}"]

    # A port on that address which was free a moment ago.
    def free_port(host)
      TCPServer.open(host, 0) { |server| server.local_address.ip_port }
    end
  end
end
