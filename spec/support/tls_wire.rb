# frozen_string_literal: true

# A Wire with TLS, and a certificate for the servers of specs. What ends without close_notify is no proper end here.

require "openssl"
require "tmpdir"
require_relative "wire"

class TlsWire < Wire
  # Shakes hands with "ssl://127.0.0.1:4000" (or https://). A block may set up the OpenSSL::SSL::SSLContext; +session+ is one to
  # go on with.
  def self.open(address, **, &)
    wire = self.begin(address, **, &)
    wire.shake_hands
  rescue StandardError
    wire&.raw&.close
    raise
  end

  # The same before the handshake, which goes on with #step and #shake_hands.
  def self.begin(address, receive_buffer: nil, server_name: "localhost", session: nil, &configure)
    context = OpenSSL::SSL::SSLContext.new
    context.verify_mode = OpenSSL::SSL::VERIFY_NONE
    configure&.call(context)
    raw = Wire.raw(address.sub(%r{\A(ssl|https)://}, "tcp://"), receive_buffer:)
    ssl = OpenSSL::SSL::SSLSocket.new(raw, context)
    ssl.sync_close = true
    ssl.hostname = server_name if server_name
    ssl.session = session if session
    new(ssl)
  rescue StandardError
    raw&.close
    raise
  end

  # Sends what can be sent of the handshake without waiting for the server.
  def step = @socket.connect_nonblock(exception: false)

  # Completes the handshake.
  def shake_hands
    deadline = Patience::Deadline.new("a TLS handshake")
    loop do
      case step
      when :wait_readable then raw.wait_readable(deadline.left) or deadline.over
      when :wait_writable then raw.wait_writable(deadline.left) or deadline.over
      else return self
      end
    end
  end

  # The socket beneath.
  def raw = @socket.to_io

  def session = @socket.session

  # Sends close_notify and the end of our side, and goes on reading.
  def half_close
    @socket.__send__(:stop)
    raw.shutdown(Socket::SHUT_WR)
    self
  end

  # Sends this and the end of our side.
  def write_last(text)
    write(text)
    half_close
  end

  def quiet?
    got = @buffer.empty? ? read_some : ""
    got == :wait_readable || (@buffer << got.to_s && false)
  end

  # Closes with a reset.
  def abort
    raw.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
    raw.close
  end

  # Whether the stream has ended without close_notify, with nothing before the end; waits for either.
  def cut? = @buffer.empty? && more("the end of the connection").nil? && @over == :cut

  private

  def read_some = @socket.read_nonblock(65_536, exception: false)

  def more(what)
    super
  rescue OpenSSL::SSL::SSLError => e
    raise unless e.message.include?("unexpected eof")

    over(:cut)
  end
end

# A certificate for localhost, and one of a client, signed by an authority of the specs' own: made once for each run.
module Certificates
  DIRECTORY = Dir.mktmpdir("tidegate-certificates")
  # A process that a spec forks has the same block, and may not take the others' files away.
  OWNER = Process.pid
  at_exit { FileUtils.rm_rf(DIRECTORY) if Process.pid == OWNER }

  # An authority: it signs what the specs need.
  class Authority
    attr_reader :certificate

    def initialize(name)
      @key = OpenSSL::PKey::EC.generate("prime256v1")
      @certificate = make(name, @key, { "basicConstraints" => "CA:TRUE", "keyUsage" => "keyCertSign" })
    end

    # The certificate of +name+ and its key.
    def sign(name, key: OpenSSL::PKey::EC.generate("prime256v1"), from: Time.now - 60, to: Time.now + 86_400, **extensions)
      extensions = { "subjectAltName" => "DNS:#{name},IP:127.0.0.1" }.merge(extensions.transform_keys(&:to_s))
      [make(name, key, extensions, issuer: @certificate, from:, to:), key]
    end

    private

    def make(name, key, extensions, issuer: nil, from: Time.now - 60, to: Time.now + 86_400)
      certificate = OpenSSL::X509::Certificate.new
      certificate.version = 2
      certificate.serial = rand(1 << 64)
      certificate.subject = OpenSSL::X509::Name.new([["CN", name]])
      certificate.issuer = (issuer || certificate).subject
      certificate.public_key = key
      certificate.not_before, certificate.not_after = from, to
      factory = OpenSSL::X509::ExtensionFactory.new(issuer || certificate, certificate)
      extensions.each { |id, value| certificate.add_extension(factory.create_extension(id, value)) }
      certificate.sign(@key, "SHA256")
    end
  end

  module_function

  def authority = @authority ||= Authority.new("the specs' authority")

  # The files of the certificate of +name+ and of its key.
  def files(name = "localhost", **)
    (@files ||= {})[[name, **]] ||= authority.sign(name, **).then do |certificate, key|
      path = File.join(DIRECTORY, "#{name}-#{@files.size}")
      File.write("#{path}.pem", certificate.to_pem)
      File.write("#{path}.key", key.to_pem)
      ["#{path}.pem", "#{path}.key"]
    end
  end

  # An address for a server to bind, with the certificate of localhost.
  def bind(host = "127.0.0.1", port = 0)
    certificate, key = files
    "ssl://#{host}:#{port}?cert=#{certificate}&key=#{key}"
  end
end
