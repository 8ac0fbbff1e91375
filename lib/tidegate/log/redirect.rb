# frozen_string_literal: true

# The options redirect_stdout and redirect_stderr (Puma's `stdout_redirect`): the standard streams of this process go to files, which
# are opened anew when a program such as logrotate has renamed them.
#
# The descriptors 1 and 2 stay, and get other files, so that the app, its loggers and what it starts write there too.

module Tidegate
  class Redirect
    # That of a Configuration; nil if it sets none. +log+ gets what is wrong with a file.
    def self.of(configuration, log)
      files = { STDOUT => configuration.redirect_stdout, STDERR => configuration.redirect_stderr }.compact
      new(files, log, append: configuration.redirect_append) if files.any?
    end

    # +files+ has the path for each stream; +append+ keeps what is in them already.
    def initialize(files, log, append: false)
      @files = files
      @log = log
      @append = append
    end

    # Opens the files, for the first time. With +append+ nothing in them is lost.
    # @raise [ConfigurationError] for a file that cannot be opened
    def open(append: false)
      paths = @files.values
      @files.each do |stream, path|
        # Two streams in one file: the second must not empty it again.
        first = paths.index(path) == @files.keys.index(stream)
        replace(stream, path, @append || append || !first ? 0 : File::TRUNC)
      rescue SystemCallError => error
        raise ConfigurationError, "the output cannot go to #{path}: #{reason(error)}"
      end
      self
    end

    # Opens the files again, and always appends, as other processes may write to them. A stream whose file cannot be opened goes on as
    # before, and the log says so.
    # @param server [Server, nil] the server of this process, the native side of which has descriptors of its own
    # @return [Boolean] whether all could be opened
    def reopen(server = nil)
      faults = @files.filter_map { |stream, path| fault(path) { replace(stream, path, 0) } }
      faults << fault("the log") { server&.reopen_logs }
      faults.compact.each { |fault| @log.error(fault) }.empty?
    end

    private

    # What is wrong, in a sentence; nil if nothing is. The app may have closed a stream.
    def fault(name)
      yield
      nil
    rescue SystemCallError, IOError => error
      "#{name} cannot be opened anew, and the output goes where it went before: #{reason(error)}"
    end

    # A FIFO without a reader is refused, instead of waiting for one.
    def replace(stream, path, more)
      File.open(path, File::WRONLY | File::CREAT | File::APPEND | File::NONBLOCK | more, 0o644) do |file|
        stream.flush
        stream.reopen(file)
        stream.sync = true # a line is in the file when it was written
      end
    end

    def reason(error) = Fault.reason(error).sub(/ - .*/, "")
  end
end
