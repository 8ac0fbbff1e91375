# frozen_string_literal: true

# The file that tells `tidegate ctl`, and Puma's `pumactl`, how to reach the server: YAML with Puma's keys. It is there while the
# server runs. It may have the admin token in it, and so is for the server's own user, unless `state_permission` says otherwise.

module Tidegate
  class StateFile
    # Puma's keys, which are all that there are.
    KEYS = %i[pid control_url control_auth_token running_from].freeze

    # The most that is read of a file.
    MOST = 64 * 1024

    # What the file at +path+ says.
    # @return [Hash{Symbol => Object}] the KEYS that it has; pid is an Integer, the others are text
    # @raise [Error] if it cannot be read
    def self.read(path)
      lines = File.open(path, File::RDONLY | File::NONBLOCK) { |file| file.read(MOST) }.to_s.force_encoding(Encoding::UTF_8).scrub.lines
      pairs = lines.filter_map { |line| line.match(/\A(\w+): (.*)/)&.captures }.to_h.transform_keys(&:to_sym).slice(*KEYS)
      pairs.to_h { |key, text| [key, key == :pid ? Integer(text, 10, exception: false) : unquoted(text)] }.compact
    rescue SystemCallError => error
      raise Error, "the state file #{path} cannot be read: #{Fault.reason(error)}"
    end

    # Puma writes both forms; we write only the second.
    def self.unquoted(text)
      text = text.strip
      return text unless text.match?(/\A".*"\z/)

      text[1..-2].gsub(/\\(x\h\h|u\h{4}|.)/) { Regexp.last_match(1).then { |code| code.size > 1 ? [code[1..].hex].pack("U") : code } }
    end
    private_class_method :unquoted

    # With a nil +path+ no file is written. +permission+ is the file's mode; nil for one that only this user can read.
    def initialize(path, permission: nil)
      @path = path
      @permission = permission || 0o600
    end

    # Writes the file whole, in the place of one that is there.
    # @param control_url [String, nil] the admin address
    # @param token [String, nil] what POST needs there
    def write(control_url: nil, token: nil)
      return unless @path

      values = { pid: Process.pid, control_url:, control_auth_token: token, running_from: Dir.pwd }
      beside = "#{@path}.#{rand(1 << 48).to_s(36)}"
      File.open(beside, File::WRONLY | File::CREAT | File::EXCL, 0o600) do |file|
        file.write(yaml(values))
        file.chmod(@permission)
      end
      File.rename(beside, @path)
      @written = true
    rescue SystemCallError => error
      File.delete(beside) if beside && File.exist?(beside)
      raise ConfigurationError, "the state file #{@path} cannot be written: #{Fault.reason(error).sub(/ - .*/, "")}"
    end

    # Removes the file, unless another process has put its own there meanwhile.
    def remove
      return unless @written

      @written = false
      File.delete(@path) if self.class.read(@path)[:pid] == Process.pid
    rescue Error, SystemCallError
      nil # it is gone or cannot be removed, and a server that stops can do nothing about it
    end

    private

    def yaml(values) = values.compact.reduce("---\n") { |text, (key, value)| "#{text}#{key}: #{value.is_a?(Integer) ? value : quoted(value)}\n" }

    # As YAML's double quotes want it, which pumactl understands where nothing has to be escaped.
    def quoted(text)
      text = text.dup.force_encoding(Encoding::UTF_8).scrub
      "\"#{text.gsub(/["\\]/) { |sign| "\\#{sign}" }.gsub(/[\x00-\x1f\x7f]/) { |sign| format("\\x%02X", sign.ord) }}\""
    end
  end
end
