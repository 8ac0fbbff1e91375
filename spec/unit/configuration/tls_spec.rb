# frozen_string_literal: true

# Encrypted addresses: their options, under Puma's names, and the certificate for development.
require "tidegate/configuration/tls_bind"

RSpec.describe "An encrypted address" do
  address = Tidegate::Configuration::Address
  layer = Tidegate::Configuration::Layer

  define_method(:reason) { |text| catch(:invalid) { "valid: #{address.parse(text)}" } }

  define_method(:resolve) do |uri, env = {}|
    flags = layer.new.tap { |it| it.set(Tidegate::Configuration::OPTIONS[:bind], uri, "-b") }
    Tidegate::Configuration.resolve(flags:, env:)
  end

  def bound(*arguments) = Tidegate::Configuration::TlsBind.address(*arguments)

  %w[ssl https tls].each do |scheme|
    it "may be written #{scheme}://" do
      expect(address.parse("#{scheme}://h:443?cert=a&key=b").to_s).to eq("ssl://h:443?cert=a&key=b")
    end
  end

  {
    "ssl://h" => "it needs a host and a port",
    "ssl://h:1?cert=a&kei=b" => "kei is not among its options: did you mean key?",
    "ssl://h:1?zzz=b" => "zzz is not among its options: docs/tls.md has them",
    "ssl://h:1?cert=" => "cert needs a value",
    "ssl://h:1?cert=a&verify_mode=all" => "verify_mode=all is not none or peer or force_peer",
    "ssl://h:1?cert=a&verify_mode=peer" => "verify_mode=peer needs ca=FILE",
    "ssl://h:1?cert=a&min_version=1.1" => "min_version=1.1 is not 1.2 or 1.3",
    "ssl://h:1?cert=a&no_tlsv1=maybe" => "no_tlsv1=maybe is not true or false",
    "ssl://h:1?cert=a&verification_flags=CRL_CHECK" => "CRL_CHECK needs crl=FILE",
    "ssl://h:1?cert=a&verification_flags=WHATEVER" => "verification_flags=WHATEVER is not a number that it can have",
    "ssl://h:1?keystore=a.jks&keystore-pass=b" => "keystore is for the keystores of JRuby: give cert=FILE and key=FILE, in PEM"
  }.each do |text, why|
    it "is refused as #{text}" do
      expect(reason(text)).to start_with(why)
    end
  end

  it "takes what Puma takes" do
    text = "ssl://h:1?cert=a&key=b&ca=c&verify_mode=force_peer&key_password_command=echo%20x&no_tlsv1=true&no_tlsv1_1=true&reuse=dflt" \
           "&ssl_cipher_filter=!aNULL:AES+SHA&ssl_ciphersuites=TLS_AES_128_GCM_SHA256&verification_flags=TRUSTED_FIRST&low_latency=true&backlog=9"
    expect(address.parse(text)).to have_attributes(to_s: text, warnings: [])
  end

  it "says what does nothing" do
    text = "ssl://h:1?cert=a&ca=b&no_tlsv1=false&reuse=100,60&verification_flags=X509_STRICT&low_latency=false"
    expect(address.parse(text).warnings).to match(
      [/no_tlsv1 changes nothing: TLS 1.0/, /low_latency=false changes nothing/, /numbers of reuse change nothing/,
       /flags X509_STRICT change nothing/, /ca does nothing without verify_mode/]
    )
    expect(resolve(text).warnings.first).to eq("-b: no_tlsv1 changes nothing: TLS 1.0 and 1.1 are never spoken")
  end

  it "has paths that hold wherever the process is" do
    text = "ssl://h:1?cert=tls/a%20b.pem&key=/k&ca=ca.pem&crl=c&verify_mode=peer"
    expect(address.parse(text).in("/app").to_s).to eq("ssl://h:1?cert=/app/tls/a%20b.pem&key=/k&ca=/app/ca.pem&crl=/app/c&verify_mode=peer")
  end

  it "is what ssl_bind makes of a Hash" do
    expect(bound("::1", 443, cert: "a b", key: "c")).to eq("ssl://[::1]:443?cert=a%20b&key=c")
    expect(bound("h", 1, { "cert" => %w[a b], key: %w[c d], verification_flags: %w[CRL_CHECK], reuse: { size: 5, timeout: 6 } }))
      .to eq("ssl://h:1?cert=a&cert=b&key=c&key=d&verification_flags=CRL_CHECK&reuse=5,6")
    expect(bound("h", 1, certificates: [{ cert: "a", key: "b" }, { cert: "c", key: "d" }], ca: nil, keystore_pass: "x"))
      .to eq("ssl://h:1?cert=a&key=b&cert=c&key=d&keystore-pass=x")
    expect(bound("h", 1, cert_pem: "A+\n&é", key_pem: "B")).to eq("ssl://h:1?cert_pem=A%2B%0A%26%C3%A9&key_pem=B")
  end

  it "never shows a key" do
    secret = "ssl://h:1?cert_pem=CERT&key_pem=SECRET&key_password_command=SECRET"
    expect(resolve(secret).shown_addresses).to eq(["ssl://h:1?cert_pem=...&key_pem=...&key_password_command=..."])
    expect { resolve("#{secret}&zzz=1") }.to raise_error(Tidegate::ConfigurationError) { |error| expect(error.message).not_to include("SECRET") }
    expect(Tidegate::Control::Settings.json(resolve(secret))).not_to include("SECRET")
  end

  it "has a certificate for localhost without another, in development alone" do
    env = { "XDG_STATE_HOME" => "/var/state" }
    expect(resolve("ssl://localhost:1", env).addresses).to eq(["ssl://localhost:1?development=/var/state/tidegate/tls"])
    expect(resolve("ssl://localhost:1", "HOME" => "/home/me").addresses)
      .to eq(["ssl://localhost:1?development=/home/me/.local/state/tidegate/tls"])
    expect { resolve("ssl://localhost:1", env.merge("RACK_ENV" => "production")) }
      .to raise_error(Tidegate::ConfigurationError, /\A-b: ssl:\/\/localhost:1 needs cert=FILE and key=FILE: .*and this is production\z/)
    expect(reason("ssl://localhost:1?development=/x")).to start_with("development is not among its options")
  end

  it "is not for the admin listener" do
    flags = layer.new
    expect { flags.set(Tidegate::Configuration::OPTIONS[:admin], "ssl://h:1?cert=a", "--admin") }
      .to raise_error(Tidegate::ConfigurationError, /it speaks no TLS: let it be a Unix socket/)
  end
end
