# frozen_string_literal: true

# The directory for temporary files. Rack puts the files of a form there with Ruby's Tempfile, which refuses a directory that all
# users may write to without the sticky bit, and each emptyDir volume is such a directory. The log says at boot what is wrong;
# otherwise each upload would be a 500.

require "tmpdir"

module Tidegate
  class TemporaryDirectory
    # The mode of a directory that is made here: Ruby takes it, and other users cannot read it.
    MODE = 0o700

    # +env+ has TMPDIR; +log+ gets what is wrong.
    def initialize(env, log)
      @named = env["TMPDIR"].to_s
      @log = log
    end

    # Makes the directory that TMPDIR names, if it is missing, and returns a directory that can be written to: the one that Ruby
    # uses, if there is one.
    def prepare
      made = make
      found = rubys
      complain(found, made)
      found || fallback
    end

    # Why this process cannot write to the directory at +path+, as a clause with the path; nil if it can.
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

    # Returns nil if there was nothing to do, true if the directory was made, else what went wrong.
    def make
      return if !named? || File.exist?(@named) || File.symlink?(@named)

      Dir.mkdir(@named, MODE)
      @log.info("made #{@named} (TMPDIR) with mode 0700")
      true
    rescue SystemCallError => error
      "#{@named} (TMPDIR) is not there and cannot be made: #{Fault.reason(error).sub(/ (?:@|-) .*/, "")}"
    end

    # The directory that Ruby chooses. Its warnings are dropped, because the log says more.
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

    # Whether Ruby has chosen a directory that the user expects. Its last choice is the working directory, which is none.
    def expected?(found)
      return same?(found, @named) if named?

      candidates.any? { |path| same?(found, path) } || !same?(found, Dir.pwd)
    end

    def consequence(found, usable)
      return "no temporary directory can be used, so that every upload of a form will fail" unless usable

      "temporary files go to #{found}#{" instead of TMPDIR" if named?}"
    end

    # Why the directories before +found+ are not used, or all if there is none.
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

    # A directory for request bodies, which may be one that Ruby refuses.
    def fallback = candidates.find { |path| self.class.fault(path).nil? } || candidates.first

    def same?(one, other)
      File.identical?(one, other) || File.expand_path(one) == File.expand_path(other)
    end
  end
end
