# frozen_string_literal: true

require "tmpdir"

RSpec.describe Tidegate::Configuration do
  def flags(**options)
    described_class::Layer.new.tap do |layer|
      options.each { |name, value| layer.set_named(name, value, "--#{name}") }
    end
  end

  def resolve(env: {}, defaults: {}, **options)
    described_class.resolve(flags: flags(**options), env:, defaults: flags(**defaults))
  end

  # Runs the block in a directory that holds the given files.
  def in_directory(files)
    Dir.mktmpdir do |directory|
      files.each do |path, text|
        FileUtils.mkdir_p(File.dirname(File.join(directory, path)))
        File.write(File.join(directory, path), text)
      end
      Dir.chdir(directory) { yield File.realpath(directory) }
    end
  end

  around { |example| in_directory({}) { example.run } }

  describe "precedence" do
    let(:file) { { "config/tidegate.rb" => "max_queue 3\n" } }

    it "has the defaults of the table when no source sets it" do
      expect(resolve.max_queue).to eq 1024
    end

    it "prefers a caller's default to the default" do
      expect(resolve(defaults: { max_queue: 4 }).max_queue).to eq 4
    end

    it "prefers the file to a caller's default" do
      in_directory(file) { expect(resolve(defaults: { max_queue: 4 }).max_queue).to eq 3 }
    end

    it "prefers the environment to the file" do
      in_directory(file) { expect(resolve(env: { "TIDEGATE_MAX_QUEUE" => "2" }).max_queue).to eq 2 }
    end

    it "prefers a flag to the environment" do
      in_directory(file) { expect(resolve(env: { "TIDEGATE_MAX_QUEUE" => "2" }, max_queue: 1).max_queue).to eq 1 }
    end

    it "knows where a value was given" do
      configuration = resolve(env: { "PORT" => "1" }, max_queue: 1)
      expect(configuration.origin(:max_queue)).to eq "--max_queue"
      expect(configuration.origin(:port)).to eq "environment variable PORT"
      expect(configuration.origin(:host)).to be_nil
    end
  end

  describe "threads" do
    it "sets both numbers at once" do
      expect(resolve(threads: "2:7")).to have_attributes(min_threads: 2, max_threads: 7)
    end

    it "leaves the most threads open, since they depend on the app" do
      expect(resolve).to have_attributes(min_threads: 0, max_threads: nil)
    end

    it "takes RAILS_MAX_THREADS" do
      expect(resolve(env: { "RAILS_MAX_THREADS" => "3" }).max_threads).to eq 3
    end

    it "lowers a weaker source's minimum to a stronger one's maximum" do
      configuration = resolve(env: { "RAILS_MIN_THREADS" => "5" }, max_threads: 3)
      expect(configuration).to have_attributes(min_threads: 3, max_threads: 3)
    end

    it "raises a weaker source's maximum to a stronger one's minimum" do
      configuration = resolve(env: { "RAILS_MAX_THREADS" => "3" }, min_threads: 5)
      expect(configuration).to have_attributes(min_threads: 5, max_threads: 5)
    end

    it "refuses a contradiction within one source" do
      expect { resolve(min_threads: 5, max_threads: 3) }
        .to raise_error(Tidegate::ConfigurationError, /\A--min_threads: min_threads cannot be 5: .* which is 3\z/)
    end
  end

  it "lets as many requests wait as there may be threads, unless it is said how many" do
    queues = [{ max_threads: 5000 }, { max_threads: 5 }, { max_threads: 5000, max_queue: 7 }]
    expect(queues.map { |options| resolve(**options).max_queue }).to eq([5000, 1024, 7])
  end

  it "says of time_slice that it does nothing where Ruby can't be asked" do
    stub_const("RUBY_VERSION", "3.2.11")
    expect(resolve(time_slice: 10).warnings).to eq ["--time_slice: time_slice does nothing on Ruby 3.2.11: before 3.3 Ruby's own 100 ms remain"]
    expect([resolve, resolve(time_slice: 0)].flat_map(&:warnings)).to eq []

    stub_const("RUBY_VERSION", "3.10.0")
    expect(resolve(time_slice: 10).warnings).to eq []
  end

  describe "workers" do
    it "are none unless they are set, and a blank variable sets none" do
      expect(resolve(env: { "WEB_CONCURRENCY" => "" })).to have_attributes(workers: 0, cluster?: false, findings: [])
    end

    it "are as many as WEB_CONCURRENCY says, unless a flag does" do
      expect(resolve(env: { "WEB_CONCURRENCY" => "3" }).workers).to eq 3
      expect(resolve(env: { "WEB_CONCURRENCY" => "3" }, workers: "0").workers).to eq 0
    end

    it "are counted for auto, and a line says from what" do
      configuration = resolve(env: { "WEB_CONCURRENCY" => "auto" })
      expect(configuration.workers).to be_between(1, Etc.nprocessors)
      expect(configuration.findings).to match [/\Aworkers auto comes to #{configuration.workers}: .*CPU/]
    end

    it "may be one, with a warning that can be silenced" do
      expect(resolve(workers: 1)).to have_attributes(cluster?: true, warnings: [/\A--workers: one worker serves as workers 0 would/])
      expect(resolve(workers: 1, silence_single_worker_warning: true).warnings).to eq []
    end

    it "are no negative number and no endless one" do
      expect { resolve(workers: -1) }.to raise_error(Tidegate::ConfigurationError, /workers cannot be -1: it must be a whole number from 0 to 1024, or auto/)
      expect { resolve(workers: 4000) }.to raise_error(Tidegate::ConfigurationError)
    end

    it "show life more often than they have to" do
      expect { resolve(worker_timeout: 3) }
        .to raise_error(Tidegate::ConfigurationError, "--worker_timeout: worker_timeout cannot be 3: worker_timeout must be longer than " \
                                                      "worker_check_interval, and worker_check_interval is 5")
      expect { resolve(worker_check_interval: 60) }.to raise_error(Tidegate::ConfigurationError, /\A--worker_check_interval: /)
      expect(resolve(worker_timeout: "none").worker_timeout).to be_nil
    end

    it "leave at different numbers of requests" do
      expect(resolve(max_requests: 1000).max_requests_jitter).to eq 100
      expect(resolve(max_requests: 1000, max_requests_jitter: 0).max_requests_jitter).to eq 0
      expect(resolve(max_memory: "512M").max_memory).to eq 512 * 1024**2
    end

    it "are missing where what makes them leave is set, which is said" do
      expect(resolve(max_memory: "512M", refork_after: 1000).warnings)
        .to eq ["--max_memory: max_memory and refork_after do nothing here: there are no workers"]
      expect(resolve(workers: 2, max_memory: "512M").warnings).to eq []
      expect(resolve(worker_timeout: 3600).warnings).to eq []
    end

    it "are not for a server within a process" do
      expect { described_class.embedded(workers: 2) }.to raise_error(Tidegate::ConfigurationError, /workers cannot be set for a server within a process/)
    end
  end

  describe "files" do
    it "prefers the file of the environment" do
      files = { "config/tidegate.rb" => "max_queue 3", "config/tidegate/staging.rb" => "max_queue 4" }
      in_directory(files) do
        expect(resolve(env: { "RACK_ENV" => "staging" }).max_queue).to eq 4
        expect(resolve.max_queue).to eq 3
      end
    end

    it "looks for them in the directory that is changed to" do
      in_directory("app/config/tidegate.rb" => "max_queue 3") do
        expect(resolve(directory: "app").max_queue).to eq 3
      end
    end

    it "loads the named files in their order, and no other" do
      files = { "config/tidegate.rb" => "raise", "a.rb" => "max_queue 3; prestop 1", "b.rb" => "max_queue 4" }
      in_directory(files) do
        expect(resolve(config: %w[a.rb b.rb])).to have_attributes(max_queue: 4, prestop: 1.0)
      end
    end

    it "loads none for -" do
      in_directory("config/tidegate.rb" => "max_queue 3") { expect(resolve(config: "-").max_queue).to eq 1024 }
    end

    it "prefers a file of ours to Puma's" do
      in_directory("config/puma.rb" => "raise", "config/tidegate.rb" => "port 4001") { expect(resolve.port).to eq 4001 }
    end

    it "refuses a named file that does not exist" do
      expect { resolve(config: "none.rb") }
        .to raise_error(Tidegate::ConfigurationError, "--config: the configuration file none.rb does not exist")
    end
  end

  describe ".embedded" do
    it "resolves keywords and reads nothing else" do
      in_directory("config/tidegate.rb" => "raise") do
        expect(described_class.embedded(max_queue: 5, drain_delay: 0)).to have_attributes(max_queue: 5, drain_delay: 0.0)
      end
    end

    it "shows no exceptions to clients unless it is told that this is development" do
      expect(described_class.embedded({})).not_to be_development
      expect(described_class.embedded(environment: "development")).to be_development
    end

    it "names the nearest option for one that does not exist" do
      expect { described_class.embedded(max_thread: 5) }
        .to raise_error(Tidegate::ConfigurationError, "unknown option max_thread: did you mean max_threads?")
    end

    it "names the option, the value and what is valid" do
      expect { described_class.embedded(port: 70_000) }
        .to raise_error(Tidegate::ConfigurationError, /port cannot be 70000: it must be a whole number from 0 to 65535/)
    end
  end

  it "is frozen, with all that is in it" do
    configuration = resolve(tag: +"x")
    expect([configuration, configuration.addresses, configuration.tag, configuration.config]).to all(be_frozen)
  end

  it "is development only in the environment of that name" do
    expect(resolve).to be_development
    expect(resolve(env: { "RACK_ENV" => "production" })).not_to be_development
  end
end
