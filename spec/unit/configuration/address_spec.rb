# frozen_string_literal: true

RSpec.describe Tidegate::Configuration::Address do
  def reason(text) = catch(:invalid) { "valid: #{described_class.parse(text)}" }

  %w[
    tcp://0.0.0.0:9292 tcp://[::1]:0 tcp://[fe80::1%eth0]:80 tcp://localhost:80?backlog=16
    unix:///run/app.sock unix://tmp/app.sock unix://@abstract unix:///x?mode=0660&backlog=5 unix:///x?umask=077
  ].each do |text|
    it "takes #{text} as it is" do
      expect(described_class.parse(text).to_s).to eq text
    end
  end

  {
    "localhost:3000" => "an address is written tcp://HOST:PORT, ssl://HOST:PORT or unix://PATH",
    "" => "an address is written tcp://HOST:PORT, ssl://HOST:PORT or unix://PATH",
    "tcp://localhost" => "it needs a host and a port",
    "tcp://:3000" => "it needs a host and a port",
    "tcp://::1:80" => "it needs a host and a port",
    "tcp://h:70000" => "a port is a whole number from 0 to 65535",
    "udp://h:1" => "it begins with none of tcp://, ssl:// and unix://",
    "unix://" => "it needs a path",
    "tcp://h:1?mode=0660" => "mode is not among its options",
    "unix:///x?mod=0660" => "mod is not among its options: did you mean mode?",
    "unix:///x?mode=9" => "mode=9 is not a number that it can have",
    "tcp://h:1?backlog" => "backlog= is not a number that it can have"
  }.each do |text, why|
    it "refuses #{text.inspect}" do
      expect(reason(text)).to start_with(why)
    end
  end

  it "is made of a host and a port, with brackets for IPv6" do
    expect(described_class.for("::1", 80).to_s).to eq "tcp://[::1]:80"
    expect(described_class.for("[::1]", 80).to_s).to eq "tcp://[::1]:80"
    expect(described_class.for("localhost", 0).to_s).to eq "tcp://localhost:0"
  end

  it "is a Unix socket when the host is a path, as in Puma" do
    expect(described_class.for("/run/app.sock", 80).to_s).to eq "unix:///run/app.sock"
    expect(described_class.for("@app", 80).to_s).to eq "unix://@app"
  end

  it "makes the path of a Unix socket absolute, and leaves the rest alone" do
    texts = %w[unix://tmp/x.sock?mode=600 unix:///x unix://@x tcp://h:1]
    expect(texts.map { |text| described_class.parse(text).in("/app").to_s })
      .to eq %w[unix:///app/tmp/x.sock?mode=600 unix:///x unix://@x tcp://h:1]
  end

  it "lets every user connect to a Unix socket that does not say who may" do
    texts = %w[unix:///x unix:///x?backlog=5 unix:///x?umask=077 unix:///x?backlog=5&mode=0600 unix://@x tcp://h:1]
    expect(texts.map { |text| described_class.parse(text).for_all.to_s })
      .to eq %w[unix:///x?mode=0777 unix:///x?backlog=5&mode=0777 unix:///x?umask=077 unix:///x?backlog=5&mode=0600 unix://@x tcp://h:1]
  end
end
