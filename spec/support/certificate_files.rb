# frozen_string_literal: true

# Certificates with their keys, in files of a directory, and clients that look at what a server shows.

require "openssl"
require "socket"

class CertificateFiles
  # +directory+ is where the files go.
  def initialize(directory)
    @directory = directory
    @serial = 0
  end

  def path(name) = File.join(@directory, name)

  # Writes NAME.pem and NAME.key, for +names+. +by+ is an issuer as this returns one; without it nothing else has signed it.
  # @return [Array(OpenSSL::X509::Certificate, OpenSSL::PKey)]
  def write(name, names: ["localhost"], days: 90, by: nil, authority: false)
    key = OpenSSL::PKey::EC.generate("prime256v1")
    certificate = make(key, names, days, by, authority)
    replace("#{name}.pem", certificate.to_pem)
    replace("#{name}.key", key.to_pem)
    [certificate, key]
  end

  # As a careful program writes: whole or not at all.
  def replace(name, text)
    File.write(path("#{name}.new"), text)
    File.rename(path("#{name}.new"), path(name))
  end

  # What the server at +port+ shows a client that asks for +name+: the names in its certificate.
  def self.shown(port, name = "localhost") = connect(port, name) { |socket| names_of(socket.peer_cert) }

  def self.names_of(certificate) = certificate.extensions.find { |it| it.oid == "subjectAltName" }.value.scan(/DNS:([^,]+)/).flatten

  # A connection, for the block. +options+ are attributes of the context, and +session+ one to resume.
  def self.connect(port, name = "localhost", session: nil, **options)
    context = OpenSSL::SSL::SSLContext.new
    options.each { |option, value| context.public_send("#{option}=", value) }
    tcp = TCPSocket.new("127.0.0.1", port)
    socket = OpenSSL::SSL::SSLSocket.new(tcp, context)
    socket.hostname = name
    socket.session = session if session
    socket.connect
    yield socket
  ensure
    tcp&.close
  end

  # The status of a GET on such a connection.
  def self.get(socket, path = "/")
    socket.write("GET #{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    socket.read[/\AHTTP\/1\.1 (\d+)/, 1]&.to_i
  end

  private

  def make(key, names, days, by, authority)
    certificate = OpenSSL::X509::Certificate.new
    certificate.version = 2
    certificate.serial = (@serial += 1)
    certificate.subject = OpenSSL::X509::Name.new([["CN", names.first]])
    certificate.issuer = by ? by.first.subject : certificate.subject
    certificate.public_key = key
    certificate.not_before = Time.now - (200 * 86_400)
    certificate.not_after = Time.now + (days * 86_400)
    extensions(certificate, names, authority)
    certificate.sign(by ? by.last : key, "SHA256")
  end

  def extensions(certificate, names, authority)
    factory = OpenSSL::X509::ExtensionFactory.new
    certificate.add_extension(factory.create_extension("basicConstraints", authority ? "CA:TRUE" : "CA:FALSE", true))
    certificate.add_extension(factory.create_extension("subjectAltName", names.map { |name| "DNS:#{name}" }.join(",")))
  end
end
