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

    # What its processes need in their environment; a server's children have it too.
    def env = @yjit ? { "RUBY_YJIT_ENABLE" => "1" } : {}

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
      path = ask("print Gem.bin_path(*ARGV)", gem, name, env: gem_path(gems))
      path if File.exist?(path)
    rescue Unavailable
      nil
    end

    # Whether it can load that library, with those words before the script.
    def loads?(library, *words)
      ask("require ARGV.fetch(0)", library, words:) && true
    rescue Unavailable
      false
    end

    # What makes that directory of gems, if there is one, the first that Ruby looks into.
    def gem_path(gems)
      return {} unless gems

      @own_path ||= ask("print Gem.path.join(':')")
      { "GEM_PATH" => [gems, @own_path].join(":") }
    end

    private

    def ask(code, *arguments, env: {}, words: [])
      output, status = Open3.capture2e(Rig.environment.merge(self.env, env), @path, *words, "-e", code, *arguments, chdir: ROOT, unsetenv_others: true)
      raise Unavailable, "#{@path} is no Ruby that runs here: #{output.lines.first}" unless status.success?

      output
    rescue Errno::ENOENT, Errno::EACCES
      raise Unavailable, "there is no Ruby at #{@path}"
    end
  end
end
