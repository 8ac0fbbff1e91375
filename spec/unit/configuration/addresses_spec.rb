# frozen_string_literal: true

RSpec.describe Tidegate::Configuration::Addresses do
  # Sources from strong to weak: flags, environment, file.
  def addresses(flags = {}, env = {}, file = {})
    layers = [flags, env, file].each_with_index.map do |options, index|
      layer = Tidegate::Configuration::Layer.new(ambient: index == 1)
      options.each { |name, value| layer.set_named(name, value, name.to_s) }
      layer
    end
    described_class.new(layers).to_a
  end

  before { allow(described_class).to receive(:default_host).and_return("0.0.0.0") }

  it "is the default address when no source sets it" do
    expect(addresses).to eq ["tcp://0.0.0.0:9292"]
  end

  it "takes host and port from different sources" do
    expect(addresses({ host: "127.0.0.1" }, { port: 5000 })).to eq ["tcp://127.0.0.1:5000"]
  end

  it "has no default address beside a bind" do
    expect(addresses({ bind: "unix:///x" })).to eq ["unix:///x?mode=0777"]
  end

  it "has binds and port when one source gives both" do
    expect(addresses({}, {}, { bind: "unix:///x", port: 3000 })).to eq ["unix:///x?mode=0777", "tcp://0.0.0.0:3000"]
  end

  it "lets a flag's port replace the file's binds" do
    expect(addresses({ port: 3000 }, {}, { bind: "unix:///x" })).to eq ["tcp://0.0.0.0:3000"]
  end

  it "lets a flag's bind replace the file's binds" do
    expect(addresses({ bind: %w[tcp://h:1 tcp://h:2] }, {}, { bind: "unix:///x" })).to eq %w[tcp://h:1 tcp://h:2]
  end

  it "does not let PORT of the environment undo the file's bind" do
    expect(addresses({}, { port: 5000 }, { bind: "unix:///x" })).to eq ["unix:///x?mode=0777"]
  end

  it "lets a bind of the environment replace the file's" do
    expect(addresses({}, { bind: "tcp://h:1" }, { bind: "unix:///x" })).to eq ["tcp://h:1"]
  end

  it "lets PORT of the environment replace the file's port" do
    expect(addresses({}, { port: 5000 }, { port: 3000 })).to eq ["tcp://0.0.0.0:5000"]
  end

  it "names a repeated address once" do
    expect(addresses({ bind: %w[tcp://h:1 tcp://h:1] })).to eq ["tcp://h:1"]
  end

  it "finds a relative socket in the directory that is changed to" do
    expect(addresses({ bind: "unix://tmp/x", directory: "/app" })).to eq ["unix:///app/tmp/x?mode=0777"]
  end

  it "refuses a host that cannot be one" do
    expect { addresses({ host: "a[b" }) }
      .to raise_error(Tidegate::ConfigurationError, /\Ahost: host cannot be "a\[b": /)
  end

  describe "the default host" do
    before { allow(described_class).to receive(:default_host).and_call_original }

    def machine(*ips) = allow(Socket).to receive(:ip_address_list).and_return(ips.map { |ip| Addrinfo.ip(ip) })

    it "is every address, IPv6 and IPv4, where others can reach the machine by IPv6" do
      machine("127.0.0.1", "::1", "2001:db8::1")
      expect(described_class.default_host).to eq "[::]"
    end

    it "is every IPv4 address where IPv6 ends at the machine or the link" do
      machine("127.0.0.1", "10.0.0.5", "::1", "fe80::1")
      expect(described_class.default_host).to eq "0.0.0.0"
    end
  end
end
