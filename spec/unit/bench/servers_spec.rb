# frozen_string_literal: true

require "fileutils"
require "json"
require "rbconfig"
require "tmpdir"
require_relative "../../../bench/comparison/alone"
require_relative "../../../bench/comparison/workload"

RSpec.describe Rig::Rivals do
  around { |example| Dir.mktmpdir { |dir| @dir = dir and example.run } }

  # A program of that name in the directory, which begins with that line.
  def program(name, first_line)
    path = File.join(@dir, name)
    File.write(path, "#{first_line}\n")
    File.chmod(0o755, path)
    path
  end

  it "starts what was given by its path on the Ruby of the run, if it is a Ruby program" do
    falcon = program("falcon", "#!/usr/bin/env ruby")
    command, env, = described_class.find("falcon", path: falcon)
    expect(command.first(3)).to eq ["ruby", falcon, "serve"]
    expect(command.each_cons(2)).to include(%w[--threaded --count], %w[--count 1], %w[--bind http://{host}:{port}])
    expect(env).to include("RACK_ENV" => "production")

    other = Rig::Interpreter.new(RbConfig.ruby)
    expect(described_class.find("falcon", path: falcon, ruby: other).first.first).to eq RbConfig.ruby
  end

  it "starts any other program as it is" do
    iodine = program("iodine", "#!/bin/sh")
    command, = described_class.find("iodine", path: iodine, threads: 16, workers: 3)
    expect(command).to eq %W[#{iodine} -b {host} -p {port} -t 16 -w 3 {app}]
  end

  it "says in a line where it has looked" do
    expect { described_class.find("agoo", path: @dir) }.to raise_error(Rig::Missing, "agoo is not at #{@dir}, neither as a program nor as a gem in that directory")
    expect { described_class.find("itsi", path: File.join(@dir, "no")) }.to raise_error(Rig::Missing, /\Aitsi is not at /)
    allow(Rig::Interpreter.default).to receive(:executable)
    allow(described_class).to receive(:elsewhere)
    expect { described_class.find("passenger") }.to raise_error(Rig::Missing, "passenger is not here: no gem of ruby, and not given as passenger=PATH")
  end

  it "knows which of them have threads to choose" do
    expect(Rig::Servers::KNOWN.split(", ").select { |name| Rig::Servers.threads?(name) }).to eq %w[puma puma8 haproxy+puma haproxy+puma8 itsi iodine agoo]
  end
end

RSpec.describe Rig::Interpreter do
  it "refuses what is no Ruby, and a YJIT that there is not" do
    expect { described_class.new("/nowhere/ruby").check! }.not_to raise_error
    expect { described_class.new("/nowhere/ruby").description }.to raise_error(Rig::Unavailable, "there is no Ruby at /nowhere/ruby")
    ruby = described_class.new(RbConfig.ruby, yjit: true)
    expect { ruby.check! }.to raise_error(Rig::Unavailable, /--yjit: ruby .* has no YJIT/) unless ruby.description.include?("+YJIT")
    expect(ruby.check!).to be(ruby) if ruby.description.include?("+YJIT")
  end

  it "finds a gem's executable, and only that" do
    expect(described_class.default.executable("no-such-gem-is-here")).to be_nil
    expect(described_class.default.executable("rspec-core", "rspec")).to end_with("/exe/rspec").or be_nil
  end
end

RSpec.describe Rig::Servers, :needs do
  it "starts Tidegate from this working copy, or from another" do
    here = needing_programs { described_class.tidegate(threads: 1) }
    expect(here.command).to eq %W[ruby -I#{Rig::ROOT}/lib #{Rig::ROOT}/exe/tidegate -b tcp://{host}:{port} -t 1:1 -e production --drain-delay {drain_delay} {app}]
    Dir.mktmpdir do |dir|
      expect { described_class.find("tidegate", path: dir) }.to raise_error(Rig::Unavailable, /\Atidegate is not compiled in #{dir} yet/)
      FileUtils.mkdir_p("#{dir}/lib/tidegate")
      FileUtils.touch("#{dir}/lib/tidegate/tidegate.so")
      expect(described_class.find("tidegate", path: dir, threads: nil).command).to include("#{dir}/exe/tidegate")
    end
  end

  it "does not start what was compiled for another Ruby" do
    other = Rig::Interpreter.new("/opt/ruby")
    allow(other).to receive(:version).and_return("9.9.1")
    expect { needing_programs { described_class.find("tidegate", ruby: other) } }
      .to raise_error(Rig::Unavailable, /\Atidegate is compiled here for Ruby \d\.\d: compile it with bin\/with-ruby \/opt\/ruby/)
  end
end

RSpec.describe Comparison::Alone do
  it "calls the app of a workload as a server does, and knows its answers, what each takes, and the memory" do
    Dir.mktmpdir do |dir|
      File.write(File.join(dir, "app.ru"), <<~'RUBY')
        puts "printed by the app"
        run ->(env) { [201, { "x-seen" => env["HTTP_X_A"], "set-cookie" => ["a=1", "b=2"] }, ["#{env["PATH_INFO"]} ", env["rack.input"].read.size.to_s]] }
      RUBY
      clients = { "get" => { "path" => "/up?a=b", "headers" => { "X-A" => "1" } }, "post" => { "method" => "POST", "path" => "/in", "body_bytes" => 7 } }
      workload = Comparison::Workload.new("mine", { "app" => File.join(dir, "app.ru"), "clients" => clients })
      stub_const("Comparison::Alone::TIMES", { warm: 0.0, long: 0.001 })
      alone = described_class.measure(workload)

      expect(alone.answers.map { |answer| answer.values_at("path", "status", "body") }).to eq [["/up", 201, "/up 0"], ["/in", 201, "/in 7"]]
      expect(alone.answers.first["headers"]).to eq [["x-seen", "1"], ["set-cookie", "a=1"], ["set-cookie", "b=2"]]
      expect(alone.cpu.values + alone.length.values).to all(be > 0)
      expect(alone.pss).to be_between(1, alone.peak + 1)
    end
  end

  it "says what went wrong where the app cannot be called" do
    workload = Comparison::Workload.new("none", { "app" => "no-such-app.ru" })
    expect { described_class.measure(workload) }.to raise_error(Rig::Unavailable, /the app of none cannot be called alone: .*no-such-app/)
  end
end
