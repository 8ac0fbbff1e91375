# frozen_string_literal: true

RSpec.describe Tidegate::Image do
  it "reads what the image before has passed on once, and only what is meant for this process" do
    legacy = { pid: Process.pid, adoption: [5, 6], phase: 2, workers: [] }
    env = { described_class::LEGACY => JSON.generate(legacy) }
    expect(described_class.legacy(env)).to eq legacy
    expect(described_class.legacy(env)).to be_nil

    env = { described_class::LEGACY => JSON.generate(legacy.merge(pid: 1)) }
    expect(described_class.legacy(env)).to be_nil
    expect(env).to eq({})
    expect(described_class.legacy({ described_class::LEGACY => "no JSON" })).to be_nil
  end

  it "knows no workers where there was no image before" do
    expect(described_class.workers(nil)).to eq({})
  end

  it "tries nothing where the command has other effects than a boot" do
    expect(described_class.new(["false"], Dir.pwd, trial: false).try).to be_nil
  end

  it "starts the trial in its directory, with the word for it in the environment" do
    reader, writer = IO.pipe
    writer.close_on_exec = false
    script = "IO.for_fd(#{writer.fileno}).syswrite(Dir.pwd + ENV.fetch(#{described_class::TRIAL.inspect}))"
    image = described_class.new([RbConfig.ruby, "-e", script], "/")
    image.define_singleton_method(:spawn) { |*arguments, **options| Kernel.spawn(*arguments, **options, writer => writer) }
    Process.wait(image.try)
    writer.close
    expect(reader.read).to eq "/1"
  end

  it "says what is wrong with a command that cannot be run" do
    expect { described_class.new(["/no/such/program"], "/").try }.to raise_error(Tidegate::Error, /cannot restart: .*[Nn]o such file/)
    expect(described_class.new(nil, "/")).not_to be_known
  end
end
