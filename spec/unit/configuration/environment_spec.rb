# frozen_string_literal: true

RSpec.describe Tidegate::Configuration::Environment do
  def read(env) = described_class.new(env).layer

  def value(name, env) = read(env)[name]&.value

  it "reads a variable for every option" do
    expect(value(:drain_delay, "TIDEGATE_DRAIN_DELAY" => "5")).to eq 5.0
    expect(value(:silent, "TIDEGATE_SILENT" => "true")).to be true
  end

  it "reads the variables that people set for other tools" do
    expect(value(:port, "PORT" => "5000")).to eq 5000
    expect(value(:max_threads, "RAILS_MAX_THREADS" => "3")).to eq 3
    expect(value(:persistent_timeout, "PUMA_PERSISTENT_TIMEOUT" => "95")).to eq 95.0
  end

  it "prefers our variable to those" do
    expect(value(:port, "PORT" => "5000", "TIDEGATE_PORT" => "6000")).to eq 6000
    expect(value(:max_threads, "RAILS_MAX_THREADS" => "3", "TIDEGATE_THREADS" => "0:8")).to eq 8
  end

  it "takes APP_ENV before RACK_ENV before RAILS_ENV" do
    env = { "RAILS_ENV" => "a", "RACK_ENV" => "b", "APP_ENV" => "c" }
    expect(value(:environment, env)).to eq "c"
    expect(value(:environment, env.slice("RAILS_ENV", "RACK_ENV"))).to eq "b"
    expect(value(:environment, env.slice("RAILS_ENV"))).to eq "a"
  end

  it "separates a list by commas" do
    expect(value(:bind, "TIDEGATE_BIND" => "tcp://h:1, unix:///x").map(&:to_s)).to eq %w[tcp://h:1 unix:///x]
  end

  it "takes an empty variable for one that is not set" do
    expect(read("PORT" => "", "TIDEGATE_MAX_QUEUE" => " ")).not_to be_key(:port)
  end

  it "names the variable of a bad value" do
    expect { read("PORT" => "http") }
      .to raise_error(Tidegate::ConfigurationError, /\Aenvironment variable PORT: port cannot be "http": it must be a whole/)
  end

  it "names the nearest variable for a mistyped one" do
    expect { read("TIDEGATE_DRAIN_DELY" => "5") }
      .to raise_error(Tidegate::ConfigurationError,
                      "unknown environment variable TIDEGATE_DRAIN_DELY: did you mean TIDEGATE_DRAIN_DELAY?")
  end

  it "only mentions a variable that resembles none" do
    environment = described_class.new("TIDEGATE_IMAGE_TAG" => "v1")
    environment.layer
    expect(environment.warnings).to eq ["the environment variable TIDEGATE_IMAGE_TAG is not an option and changes nothing"]
  end

  it "overlooks what Kubernetes sets beside a service of our name" do
    environment = described_class.new(
      "TIDEGATE_PORT" => "tcp://10.0.0.7:80", "TIDEGATE_SERVICE_HOST" => "10.0.0.7", "TIDEGATE_SERVICE_PORT" => "80",
      "TIDEGATE_SERVICE_PORT_HTTP" => "80", "TIDEGATE_PORT_80_TCP" => "tcp://10.0.0.7:80",
      "TIDEGATE_PORT_80_TCP_ADDR" => "10.0.0.7", "TIDEGATE_PORT_80_TCP_PROTO" => "tcp",
      "TIDEGATE_APP_PORT" => "tcp://10.0.0.7:80", "TIDEGATE_APP_SERVICE_HOST" => "10.0.0.7"
    )
    expect(environment.layer).not_to be_key(:port)
    expect(environment.warnings).to be_empty
  end
end
