# frozen_string_literal: true

require "tmpdir"
require_relative "interpreter"

# How the servers are started that are neither Tidegate nor Puma: each is a gem that is installed, or was given by its path. Nothing
# of them is in this repository.
module Rig
  # `words` have the placeholders of Kind, and {threads} and {workers}. A server without `threads` has no such number of its own.
  # `script` is run in the place of the gem's executable, `executable` is that where it is not called like the gem. `ready` is the line that
  # says that it serves; nil: it does when it accepts.
  Rival = Struct.new(:gem, :words, :threads, :script, :executable, :ready, keyword_init: true) do
    def program = executable || gem
  end

  module Rivals
    HERE = __dir__

    ALL = {
      # Without workers, one process: its own default is one for each core.
      "falcon" => Rival.new(gem: "falcon", words: %w[serve --bind http://{host}:{port} --{model} --count {workers} --config {app}]),
      # Written from its executable, and not tried either.
      "itsi" => Rival.new(gem: "itsi-server", executable: "itsi", threads: true,
                          words: %w[start --bind http://{host}:{port} --threads {threads} --workers {workers} --rackup_file {app}]),
      "iodine" => Rival.new(gem: "iodine", threads: true, words: %w[-b {host} -p {port} -t {threads} -w {workers} {app}]),
      # Its executable takes the app's file apart from its directory.
      "agoo" => Rival.new(gem: "agoo", threads: true, script: "#{HERE}/agoo.rb", words: %w[{host} {port} {threads} {workers} {app}]),
      "pitchfork" => Rival.new(gem: "pitchfork", words: %W[-c #{HERE}/pitchfork.rb -l {host}:{port} -E production {app}], ready: /worker=0 .*ready/),
      "unicorn" => Rival.new(gem: "unicorn", words: %W[-c #{HERE}/unicorn.rb -l {host}:{port} -E production {app}], ready: /worker=0 ready/),
      # Threads are in its Enterprise edition only. Written from its documentation: no machine of ours has had one that could be tried.
      "passenger" => Rival.new(gem: "passenger", words: %W[start --engine builtin --address {host} --port {port} --environment production
                                                           --max-pool-size {workers} --min-instances {workers} --disable-turbocaching
                                                           --pid-file #{Dir.tmpdir}/passenger-{port}.pid --rackup {app}]),
      "webrick" => Rival.new(gem: "rackup", words: %w[-q -s webrick -o {host} -p {port} -E production {app}])
    }.freeze

    module_function

    # Whether the server has a number of threads that can be set.
    def threads?(name) = ALL[name]&.threads ? true : false

    # That server as a command, its name and its environment: [program and arguments, environment, ready]. `path` is an executable, or a
    # directory with gems (such as `gem install -i DIRECTORY` makes).
    #
    # Raises Missing where it is not here.
    def find(name, path: nil, threads: nil, workers: nil, ruby: Interpreter.default)
      rival = ALL.fetch(name)
      gems = path if path && File.directory?(path)
      program = rival.script ? script(name, rival, path, ruby) : executable(name, rival, path, gems, ruby)
      gems ||= File.expand_path("../..", path) if path && rival.script
      values = { "threads" => threads || 5, "workers" => workers || 1, "model" => workers ? "forked" : "threaded" }
      words = rival.words.map { |word| word.gsub(/\{(threads|workers|model)\}/) { values.fetch($1).to_s } }
      [[*program, *words], ruby.gem_path(gems).merge("RACK_ENV" => "production", "RAILS_ENV" => "production"), rival.ready]
    end

    def executable(name, rival, path, gems, ruby)
      found = path && gems.nil? ? path : ruby.executable(rival.gem, rival.program, gems:)
      found ||= elsewhere(rival.program) unless path
      raise Missing, missing(name, path, ruby) unless found && File.executable?(found)

      # As that Ruby runs it, unless it is no Ruby program.
      File.open(found, &:gets).to_s.match?(/\A#!.*ruby/) ? ruby.command(found) : [found]
    end

    def script(name, rival, path, ruby)
      gems = path && (File.directory?(path) ? path : File.expand_path("../..", path))
      raise Missing, missing(name, path, ruby) unless ruby.executable(rival.gem, rival.program, gems:)

      ruby.command(rival.script)
    end

    # A program of the operating system's packages.
    def elsewhere(name) = ENV["PATH"].split(":").map { |dir| File.join(dir, name) }.find { |path| File.executable?(path) }

    def missing(name, path, ruby)
      return "#{name} is not at #{path}, neither as a program nor as a gem in that directory" if path

      "#{name} is not here: no gem of #{ruby.path}, and not given as #{name}=PATH"
    end
  end
end
