# frozen_string_literal: true

require "open3"
require_relative "child"

module Rig
  # The Ruby that all servers of one run are started with, with its YJIT or without.
  class Interpreter
    # The one that `ruby` is, as it comes.
    def self.default = @default ||= new

    # `path` as given on the command line.
    def initialize(path = "ruby", yjit: false)
      @path, @yjit = path, yjit
    end

    attr_reader :path

    # A command that has this Ruby run those words.
    def command(*words) = [@path, *words]

    # What its processes need in their environment; a server's children have it too. Another Ruby than the usual one has the gems of that which
    # need no compiling, where bin/with-ruby has put them.
    def env = { **(@yjit ? { "RUBY_YJIT_ENABLE" => "1" } : {}), **(pure_gems ? { "GEM_PATH" => [own_gems, pure_gems].join(":") } : {}) }

    # What it says of itself: "ruby 3.4.1 (...) +YJIT ...".
    def description = @description ||= ask("print RUBY_DESCRIPTION")

    # Itself, if it runs, and if its YJIT does where that is wanted.
    #
    # Raises Unavailable otherwise.
    def check!
      raise Unavailable, "--yjit: #{description} has no YJIT" if @yjit && !description.include?("+YJIT")

      self
    end

    # The executable of a gem that this Ruby finds, or nil. With `gems`, in that directory of gems before all others.
    def executable(gem, name = gem, gems: nil)
      path = ask("print Gem.bin_path(*ARGV)", gem, name, env: env.merge(gem_path(gems)))
      path if File.exist?(path)
    rescue Unavailable
      nil
    end

    # Such as "3.3.8".
    def version = @version ||= ask("print RUBY_VERSION", env: { "GEM_PATH" => nil })

    # The part of it that extensions are compiled for.
    def api = version[/\A\d+\.\d+/]

    # What makes that directory of gems, if there is one, the first that Ruby looks into.
    def gem_path(gems)
      return {} unless gems

      { "GEM_PATH" => [gems, *own_gems, *pure_gems].join(":") }
    end

    private

    def own_gems = @own_gems ||= ask("print Gem.path.join(':')", env: {})

    def pure_gems
      return if equal?(self.class.default)

      home = ENV["XDG_CACHE_HOME"] || File.join(Dir.home, ".cache")
      directory = File.join(home, "tidegate/with-ruby", version, "gems")
      directory if File.directory?(directory)
    end

    def ask(code, *arguments, env: self.env)
      output, status = Open3.capture2e(Rig.environment.merge(env), @path, "-e", code, *arguments, chdir: ROOT, unsetenv_others: true)
      raise Unavailable, "#{@path} is no Ruby that runs here: #{output.lines.first}" unless status.success?

      output
    rescue Errno::ENOENT, Errno::EACCES
      raise Unavailable, "there is no Ruby at #{@path}"
    end
  end
end
