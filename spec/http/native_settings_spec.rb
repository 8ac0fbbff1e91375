# frozen_string_literal: true

RSpec.describe "the settings that the native side takes" do
  def settings(**options)
    Tidegate::NativeSettings.of(Tidegate::Configuration.embedded(options), Tidegate::Surroundings.unknown)
  end

  def error_for(settings)
    Tidegate::Native.plan(settings)
    nil
  rescue Tidegate::ConfigurationError => error
    error.message
  end

  it "are all that the table of options marks as native, and no other" do
    expect(error_for(settings)).to be_nil
    expect(error_for(settings.merge(head_timeot: 1))).to eq "unknown setting: head_timeot"
    Tidegate::Configuration::OPTIONS.each_value.reject(&:native).each do |option|
      expect(error_for(settings.merge(option.name => nil))).to eq "unknown setting: #{option.name}"
    end
  end

  it "are named where their values cannot be" do
    expect(error_for(settings.merge(head_timeout: -1.0))).to eq "head_timeout: -1 is not a number of seconds"
    expect(error_for(settings.merge(drain_delay: :soon))).to start_with "drain_delay: invalid type: string \"soon\""
    expect(error_for(settings.merge(max_queue: 10**30))).to eq "max_queue cannot be #{10**30}"
    expect(error_for(settings.merge(bind: [Object]))).to eq "bind cannot be Object"
  end

  it "make the same plan as the server keeps" do
    expect(Tidegate::Native.plan(settings(drain_delay: 3, shutdown_timeout: 4)))
      .to eq(drain_delay: 3.0, shutdown_timeout: 4.0, budget: nil, clamped: [])
    plan = Tidegate::Native.plan(settings(drain_delay: 300, termination_grace: 10))
    expect(plan).to include(drain_delay: 4.0, shutdown_timeout: 4.0, budget: 8.0)
    expect(plan[:clamped]).to contain_exactly(start_with("drain_delay 300.0 s does not fit: the platform gives 10.0 s"))
  end
end
