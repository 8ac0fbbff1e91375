# frozen_string_literal: true

# The file with the id of this process, while the server runs.

module Tidegate
  class Pidfile
    # With a nil +path+ no file is written.
    def initialize(path)
      @path = path && File.expand_path(path)
    end

    # Writes the id of this process.
    def write
      return unless @path

      # Writing to a FIFO would wait for a reader.
      raise ConfigurationError, "the pidfile #{@path} cannot be written: it is a FIFO" if File.pipe?(@path)

      File.write(@path, "#{Process.pid}\n")
      @written = true
    rescue SystemCallError => error
      raise ConfigurationError, "the pidfile #{@path} cannot be written: #{Fault.reason(error)}"
    end

    # Removes the file, unless another process has put its own id there meanwhile.
    def remove
      return unless @written

      @written = false
      File.delete(@path) if File.file?(@path) && File.read(@path).to_i == Process.pid
    rescue SystemCallError
      nil # it is gone or cannot be removed, and a server that stops can do nothing about it
    end
  end
end
