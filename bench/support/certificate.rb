# frozen_string_literal: true

require "openssl"
require "tmpdir"
require "fileutils"

module Rig
  # A certificate that nothing but itself has signed, and its key, in files of a directory of its own. Nothing here checks it.
  class Certificate
    attr_reader :cert, :key, :both

    # `kind` is :ecdsa (P-256), as a certificate authority's usual one today, or :rsa (2048 bits).
    def initialize(kind = :ecdsa)
      @dir = Dir.mktmpdir("certificate")
      File.chmod(0o755, @dir) # a worker that gave up root reads it
      @cert, @key, @both = %w[cert.pem key.pem both.pem].map { |name| File.join(@dir, name) }
      key = kind == :rsa ? OpenSSL::PKey::RSA.new(2048) : OpenSSL::PKey::EC.generate("prime256v1")
      texts = [sign(key).to_pem, key.private_to_pem]
      { @cert => texts[0], @key => texts[1], @both => texts.join }.each do |file, text|
        File.write(file, text)
        File.chmod(0o644, file)
      end
    end

    # The address of a bind with it, for Tidegate and for Puma.
    def bind(address) = "ssl://#{address}?cert=#{cert}&key=#{key}"

    def remove = FileUtils.rm_rf(@dir)

    alias stop remove

    private

    def sign(key)
      certificate = OpenSSL::X509::Certificate.new
      certificate.version = 2
      certificate.serial = 1
      certificate.subject = certificate.issuer = OpenSSL::X509::Name.new([%w[CN localhost]])
      certificate.public_key = key
      certificate.not_before = Time.now - 3600
      certificate.not_after = Time.now + 7 * 86_400
      names = OpenSSL::X509::ExtensionFactory.new.create_extension("subjectAltName", "DNS:localhost,IP:127.0.0.1")
      certificate.add_extension(names)
      certificate.sign(key, "SHA256")
    end
  end
end
