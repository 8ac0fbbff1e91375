# frozen_string_literal: true

# The file that holds our process id while the server runs.

module Tidegate
  class Pidfile
    # +path+ nil means there is none to write.
    def initialize(path)
      @path = path && File.expand_path(path)
    end

    # Writes the id of this process.
    def write
      return unless @path

      # To write to a FIFO waits for a reader.
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
      nil # gone, or out of our reach: nothing that a stopping server could do about it
    end
  end
end
