# frozen_string_literal: true

require "open3"
require "shellwords"
require "socket"
require_relative "child"

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
    UNICORN = File.join(__dir__, "unicorn.rb")
    PUMA_READY = /Use Ctrl-C to stop/
    PUMA_BOOTED = /Worker \d+ .*booted/
    KNOWN = "tidegate, tidegate-tied, puma, puma8, haproxy+puma, haproxy+puma8, unicorn, passenger"

    module_function

    # The server of that name, or of that command. `threads` is for those that have them, MIN:MAX or one number; nil leaves
    # the server its own default. `workers` is how many processes serve under a master; nil is one process without.
    def find(name, threads: THREADS, workers: nil)
      kind = alone(name, threads:)
      return kind unless workers

      Kind.new(kind.name, kind.command, kind.ready == PUMA_READY ? PUMA_BOOTED : kind.ready, kind.env.merge("WEB_CONCURRENCY" => workers.to_s))
    end

    # The same as one process.
    def alone(name, threads:)
      case name
      when "tidegate" then tidegate(threads:)
      when "tidegate-tied" then tidegate(threads:, name:, flags: ["--no-hand-over"])
      when "puma" then puma(threads:)
      when /\Apuma(\d+)\z/ then puma_beside(name, threads:)
      when /\Ahaproxy\+(puma\d*)\z/ then behind_haproxy(alone($1, threads:))
      when "unicorn" then unicorn
      when "passenger" then passenger
      when /\A(?:([\w.-]+)=)?(.*\{(?:port|addr)\}.*)\z/m then command($1, Shellwords.split($2))
      else raise Unavailable, "unknown server #{name.inspect}: #{KNOWN}, or [NAME=]command with {host} and {port}, or {addr}"
      end
    end

    # Whether there is such a server at all, on some machine.
    def known?(name) = KNOWN.split(", ").include?(name) || name.match?(/\Apuma\d+\z|\{(?:port|addr)\}/)

    # Any other server, by the name it was given or that of its program.
    def command(name, words)
      Kind.new(name || File.basename(words.first), words, nil, {})
    end

    # Outside Bundler, as the others are, so that memory and start-up compare.
    def tidegate(threads: THREADS, name: "tidegate", flags: [])
      extension = File.join(ROOT, "lib/tidegate/tidegate.so")
      raise Unavailable, "tidegate is not compiled yet: bin/setup, then rake compile" unless File.exist?(extension)

      Kind.new(name, ["ruby", "-Ilib", "exe/tidegate", "-b", "tcp://{host}:{port}", *threads(threads), "-e", "production",
                            "--drain-delay", "{drain_delay}", *flags, "{app}"], /^tidegate: ready on /, {})
    end

    def puma(threads: THREADS)
      found = program("puma") or raise Missing, "puma is not here: bin/setup test"
      # Its compiled part may be for another Ruby.
      raise Missing, "the puma here does not run on this Ruby" unless system(found, "--version", out: File::NULL, err: File::NULL)

      Kind.new("puma", [found, *puma_flags(threads)], PUMA_READY, {})
    end

    # A Puma that is not the installed one, fetched into the cache by bin/peer-gems.
    def puma_beside(name, cached: false, threads: THREADS)
      flags = cached ? ["--cached"] : []
      entry, status = Open3.capture2(File.join(ROOT, "bin/peer-gems"), *flags, name)
      raise Missing, "bin/peer-gems #{name} has no such gem for this Ruby" unless status.success?

      script = Dir[*entry.chomp.split(":").map { |dir| "#{dir}/gems/puma-*/bin/puma" }].first
      path = [entry.chomp, *Gem.path].join(":")
      Kind.new(name, ["ruby", script, *puma_flags(threads)], PUMA_READY, { "GEM_PATH" => path })
    end

    # The same behind HAProxy, as one: what they use is taken together.
    def behind_haproxy(kind)
      command = kind.command.map { |word| word == "tcp://{host}:{port}" ? "{bind}" : word }
      Kind.new("haproxy+#{kind.name}", ["ruby", BEHIND_HAPROXY, "tcp://{host}:{port}", *command], kind.ready, kind.env)
    end

    # Its workers have no threads, and close every connection after its response.
    def unicorn
      found = program("unicorn") or raise Missing, "unicorn is not here: bin/setup bench"
      Kind.new("unicorn", [found, "-c", UNICORN, "-l", "{host}:{port}", "-E", "production", "{app}"], /worker=0 ready/, {})
    end

    # Not started by name: no machine of ours has had one that could be tried.
    def passenger
      raise Missing, "passenger is not known by name: give its command with --server 'passenger=... {host} {port} {app}'" if program("passenger")

      raise Missing, "passenger is not here"
    end

    def program(name) = ENV["PATH"].split(":").map { |dir| File.join(dir, name) }.find { |path| File.executable?(path) }

    def threads(count) = count ? ["-t", count.to_s.include?(":") ? count.to_s : "#{count}:#{count}"] : []

    def puma_flags(count) = ["-b", "tcp://{host}:{port}", *threads(count), "-e", "production", "{app}"]

    # A port on that address which was free a moment ago.
    def free_port(host)
      TCPServer.open(host, 0) { |server| server.local_address.ip_port }
    end
  end
end
