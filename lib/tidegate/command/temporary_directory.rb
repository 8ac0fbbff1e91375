# frozen_string_literal: true

# Where temporary files go. Rack puts the files of a form there with Ruby's Tempfile, which refuses a directory that all
# users may write to without the sticky bit, as each volume of the kind emptyDir is: what is wrong is said at boot, and not
# by a 500 for each upload.

require "tmpdir"

module Tidegate
  class TemporaryDirectory
    # The mode of one that is made: Ruby takes it, and other users can't look into it.
    MODE = 0o700

    # +env+ has TMPDIR; +log+ hears of what is wrong.
    def initialize(env, log)
      @named = env["TMPDIR"].to_s
      @log = log
    end

    # Makes what TMPDIR names, if it is missing, and returns a directory that can be written to: Ruby's own if there is one.
    def prepare
      made = make
      found = rubys
      complain(found, made)
      found || fallback
    end

    # What keeps this process from writing to the directory at +path+, as a clause with the path; nil for nothing.
    def self.fault(path)
      stat = File.stat(path)
      return "#{path} is not a directory" unless stat.directory?

      name = File.join(path, "tidegate-#{Process.pid}-#{rand(1 << 64).to_s(36)}")
      File.open(name, File::CREAT | File::EXCL | File::RDWR, 0o600) do |file|
        File.unlink(name)
        file.syswrite("x")
      end
      nil
    rescue SystemCallError => error
      "#{path}: #{Fault.reason(error).sub(/ (?:@|-) .*/, "")}"
    end

    private

    def named? = !@named.empty?

    # nil where there was nothing to do, true where it was made, else what went wrong.
    def make
      return if !named? || File.exist?(@named) || File.symlink?(@named)

      Dir.mkdir(@named, MODE)
      @log.info("made #{@named} (TMPDIR) with mode 0700")
      true
    rescue SystemCallError => error
      "#{@named} (TMPDIR) is not there and cannot be made: #{Fault.reason(error).sub(/ (?:@|-) .*/, "")}"
    end

    # What Ruby would choose, without its warnings: they are less than what is said here.
    def rubys
      verbose = $VERBOSE
      $VERBOSE = nil
      Dir.tmpdir
    rescue ArgumentError
      nil
    ensure
      $VERBOSE = verbose
    end

    def complain(found, made)
      usable = found && self.class.fault(found).nil?
      return if usable && expected?(found)

      reasons = made.is_a?(String) ? [made, *refusals(found).drop(1)] : refusals(found)
      @log.error("#{consequence(found, usable)}: #{reasons.join("; ")}. Set TMPDIR to a directory of this user's own with mode 0700; " \
                 "one that is missing is made where its parent can be written to")
    end

    # Ruby's last resort is the working directory.
    def expected?(found)
      return same?(found, @named) if named?

      candidates.any? { |path| same?(found, path) } || !same?(found, Dir.pwd)
    end

    def consequence(found, usable)
      return "no temporary directory can be used, so that every upload of a form will fail" unless usable

      "temporary files go to #{found}#{" instead of TMPDIR" if named?}"
    end

    # Why the directories before +found+, or all, are not used.
    def refusals(found)
      places = candidates.take_while { |path| found.nil? || !same?(path, found) }
      places << found if found
      places.filter_map { |path| refusal(path) }
    end

    def refusal(path)
      return ("#{path} is not there" if path == candidates.first) unless File.exist?(path)

      stat = File.stat(path)
      return "#{path} is world-writable without the sticky bit, which Ruby refuses" if stat.world_writable? && !stat.sticky?

      self.class.fault(path)
    end

    def candidates = [(@named if named?), Etc.systmpdir, "/tmp"].compact.map { |path| File.expand_path(path) }.uniq

    # For request bodies, which need less than Ruby asks for.
    def fallback = candidates.find { |path| self.class.fault(path).nil? } || candidates.first

    def same?(one, other)
      File.identical?(one, other) || File.expand_path(one) == File.expand_path(other)
    end
  end
end
